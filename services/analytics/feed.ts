import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Purpose, TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { LogEntry } from "#runtime/log.ts";
import type { Background, ServiceDeps } from "#runtime/service.ts";
import { type Arrived, SCHEMA, toColumns } from "./columns.ts";
import type { Duck } from "./duck.ts";

/** The most touches of one write, and the entries that one step reads: a step stays well under 50 ms of this thread. */
const STEP_TOUCHES = 4_000;
const STEP_ENTRIES = 64;

/** A pause between steps, so that many small entries become one write. Touches are visible within a second. */
const PAUSE_MS = 200;

/** How long to wait before asking the registry again, or after a failure. */
const AGAIN_MS = 25;
const AFTER_FAILURE_MS = 1_000;

/**
 * Feeds marketing touches from the log into DuckDB. The rows and the watermark are one transaction, so a replay
 * writes nothing twice; whether a touch is the first of its id is asked of the registry in `scans`.
 */
export async function startFeed(deps: ServiceDeps, duck: Duck): Promise<Background & { idle: () => Promise<void> }> {
  for (const statement of SCHEMA) await duck.write(statement);
  const stopping = new AbortController();
  const state = { position: await readPosition(duck), failures: 0 };
  const running = follow(deps, { duck, state, signal: stopping.signal });
  return {
    gauges: () => ({ position: state.position, failures: state.failures }),
    idle: async () => {
      const head = await lastTouch(deps, state.position);
      while (state.position < head && !stopping.signal.aborted) await delay(5);
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function lastTouch(deps: ServiceDeps, after: number): Promise<number> {
  let last = after;
  for await (const chunk of deps.log.read({ after, subjects: ["touches.recorded"] }))
    last = chunk.at(-1)?.position ?? last;
  return last;
}

interface Feeding {
  duck: Duck;
  state: { position: number; failures: number };
  signal: AbortSignal;
}

async function readPosition(duck: Duck): Promise<number> {
  const [row] = await duck.rows("SELECT position FROM watermark");
  return Number(row?.position ?? 0);
}

/** Reads the log until stopped; after a failure it begins again at the watermark. */
async function follow(deps: ServiceDeps, feeding: Feeding): Promise<void> {
  const { state, signal } = feeding;
  while (!signal.aborted) {
    try {
      const reading = {
        after: state.position,
        subjects: ["touches.recorded"] as const,
        chunk: STEP_ENTRIES,
        follow: signal,
      };
      for await (const entries of deps.log.read(reading)) {
        await step(deps, { ...feeding, entries });
        if (entries.length < STEP_ENTRIES) await pause(PAUSE_MS, signal);
      }
    } catch {
      if (signal.aborted) return;
      state.failures += 1;
      state.position = await readPosition(feeding.duck).catch(() => state.position);
      await pause(AFTER_FAILURE_MS, signal);
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

async function step(deps: ServiceDeps, given: Feeding & { entries: readonly LogEntry[] }): Promise<void> {
  let batch: Arrived[] = [];
  let upTo = given.state.position;
  for (const entry of given.entries) {
    const touches = marketing(entry);
    if (batch.length + touches.length > STEP_TOUCHES && batch.length > 0) {
      await write(deps, { ...given, batch, upTo });
      batch = [];
    }
    for (const touch of touches) batch.push(touch);
    upTo = entry.position;
  }
  await write(deps, { ...given, batch, upTo });
}

/** The wall between purposes: nothing but marketing enters analytics. */
function marketing(entry: LogEntry): Arrived[] {
  const { touches, recordedAt } = fromBinary(TouchBatchSchema, entry.payload);
  const at = recordedAt === undefined ? entry.appendedAt : timestampMs(recordedAt);
  const mine = touches.filter(({ purpose }) => purpose === Purpose.MARKETING);
  return mine.map((touch) => ({ touch, position: entry.position, recordedAt: at }));
}

async function write(deps: ServiceDeps, given: Feeding & { batch: Arrived[]; upTo: number }): Promise<void> {
  const { duck, state, batch, upTo } = given;
  const counted = await onlyCounted(deps, { batch, signal: given.signal });
  await duck.write("BEGIN");
  try {
    if (counted.length > 0) await duck.append("events", toColumns(counted));
    await duck.write("UPDATE watermark SET position = $upTo", { upTo: BigInt(upTo) });
    await duck.write("COMMIT");
  } catch (error) {
    await duck.write("ROLLBACK").catch(() => undefined);
    throw error;
  }
  state.position = upTo;
}

/** Leaves out touches whose id was there before: in this batch, or by the registry's word. */
async function onlyCounted(deps: ServiceDeps, given: { batch: Arrived[]; signal: AbortSignal }): Promise<Arrived[]> {
  const byWorkspace = Map.groupBy(given.batch, ({ touch }) => touch.workspaceId);
  const kept: Arrived[] = [];
  for (const [workspace, events] of byWorkspace) {
    const first = new Map<string, Arrived>();
    for (const event of events) if (!first.has(event.touch.id)) first.set(event.touch.id, event);
    const unique = [...first.values()];
    const counted = await ask(deps, { workspace, events: unique, signal: given.signal });
    unique.forEach((event, index) => {
      if (counted[index]) kept.push(event);
    });
  }
  return kept;
}

async function ask(
  deps: ServiceDeps,
  given: { workspace: string; events: Arrived[]; signal: AbortSignal },
): Promise<boolean[]> {
  const touches = given.events.map(({ touch, position }) => ({ id: touch.id, position: BigInt(position) }));
  const last = given.events.at(-1)?.position ?? 0;
  const options = { ...as(internalContext(given.workspace)), signal: given.signal, timeoutMs: 10_000 };
  for (;;) {
    const reply = await deps.client(RegistryService).listCounted({ touches }, options);
    if (reply.completeTo >= last) return reply.counted;
    await delay(AGAIN_MS, undefined, { signal: given.signal });
  }
}
