import { setTimeout as delay } from "node:timers/promises";
import { RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Arrived } from "./columns.ts";

/** So many ids are asked about at once (the registry takes 10,000), and so many questions are under way. */
const IDS_AT_ONCE = 2_000;
const QUESTIONS_AT_ONCE = 8;

/** How long to wait before looking again whether the registry has come far enough; each time twice as long. */
const FIRST_WAIT_MS = 10;
const LONGEST_WAIT_MS = 500;

const DEADLINE_MS = 10_000;

type Client = ServiceDeps["client"];

/**
 * Leaves out touches whose id was there before: among `events`, which stand in the order of the log, or by the word of
 * the registry in `scans`, which is waited for until it has come as far as they.
 */
export async function onlyCounted(client: Client, events: readonly Arrived[], signal: AbortSignal): Promise<Arrived[]> {
  const questions = [...Map.groupBy(events, ({ touch }) => touch.workspaceId).values()].flatMap(questionsOf);
  const kept: Arrived[] = [];
  for (let first = 0; first < questions.length; first += QUESTIONS_AT_ONCE) {
    const some = questions.slice(first, first + QUESTIONS_AT_ONCE);
    const answers = await Promise.all(some.map((question) => ask(client, question, signal)));
    some.forEach((question, at) => {
      kept.push(...question.filter((_event, index) => answers[at]?.[index] === true));
    });
  }
  return kept;
}

/** The first touch of each id of one workspace, as many together as may be asked about. */
function questionsOf(events: readonly Arrived[]): Arrived[][] {
  const first = new Map<string, Arrived>();
  for (const event of events) if (!first.has(event.touch.id)) first.set(event.touch.id, event);
  const all = [...first.values()];
  const count = Math.ceil(all.length / IDS_AT_ONCE);
  return Array.from({ length: count }, (_, index) => all.slice(index * IDS_AT_ONCE, (index + 1) * IDS_AT_ONCE));
}

async function ask(client: Client, events: readonly Arrived[], signal: AbortSignal): Promise<boolean[]> {
  const touches = events.map(({ touch, position }) => ({ id: touch.id, position: BigInt(position) }));
  const last = BigInt(events.at(-1)?.position ?? 0);
  const options = { ...as(internalContext(events[0]?.touch.workspaceId ?? "")), signal, timeoutMs: DEADLINE_MS };
  const registry = client(RegistryService);
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    const { counted, completeTo } = await registry.listCounted({ touches }, options);
    if (completeTo >= last) {
      if (counted.length !== touches.length) throw new Error("the registry did not answer for each touch");
      return counted;
    }
    // Only how far it is, not the same long list again and again.
    for (let to = completeTo; to < last; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      await delay(waitMs, undefined, { signal });
      ({ completeTo: to } = await registry.listCounted({ touches: touches.slice(-1) }, options));
    }
  }
}
