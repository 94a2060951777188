import type { HandlerContext } from "@connectrpc/connect";
import type { Privacy } from "#gen/waymark/access/v1/authority_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import { partitionOf } from "#runtime/log.ts";
import type { TouchPurpose } from "#runtime/touches.ts";
import type { Backlog } from "./backlog.ts";
import type { IdLookup, KnownIds } from "./known-ids.ts";
import { madeId } from "./made-id.ts";
import { noSuchCode, type Refusal } from "./reasons.ts";
import type { Recorder } from "./recorder.ts";
import { type Books, type Outgoing, weightOf } from "./records.ts";
import { wallOf } from "./scope.ts";
import type { PrivacySettings } from "./settings.ts";
import type { CodeNames, FoundCodes, TakenCode, Targets } from "./targets.ts";
import { type Arrival, idPrefix, type Lens, touchOf } from "./touch.ts";
import type { Written } from "./written.ts";

/** What intake stands on. */
export interface IntakeParts {
  settings: PrivacySettings;
  targets: Targets;
  knownIds: KnownIds;
  recorder: Recorder;
  written: Written;
  backlog: Backlog;
  lens: Lens;
}

/** An item of a request: a touch, or why it cannot be one. */
export type Item = { arrival: Arrival } | { refusal: Refusal };

/** What became of a request. */
export interface Taken {
  accepted: number;
  /** By position in the request. */
  rejected: { index: number; code: string; message: string }[];
  /** Id of each item; empty where it was rejected. */
  ids: string[];
}

/** Takes the items of one request in. Resolves when they are durable; rejects with OVERLOADED when none was taken. */
export type Intake = (items: readonly Item[], handler: HandlerContext) => Promise<Taken>;

export function openIntake(parts: IntakeParts): Intake {
  const { recorder, settings, targets, knownIds, written, backlog } = parts;
  return async (items, handler) => {
    const context = contextOf(handler);
    const { workspace, test } = context.principal;
    await backlog.room();
    const books: Books = { workspace, test, arrivedAt: context.now() };
    if (!recorder.hasRoom(items.length)) throw recorder.shed(books, items.length);
    const privacy = await settings.of(handler);
    const codes = await targets.find(namesOf(items), handler);
    const known = await knownIds.lookUp(workspace, idsOf(items));
    const sorted = sort(items, { lens: parts.lens, context, arrivedAt: books.arrivedAt, privacy, codes, known });
    knownIds.note(workspace, sorted.given);
    try {
      const position = await recorder.put({ books, ...sorted });
      written.note(handler, position);
      backlog.note(sorted.touches.length, position);
    } catch (error) {
      knownIds.drop(workspace, sorted.given.keys());
      throw error;
    }
    const accepted = sorted.touches.length + sorted.duplicate;
    return { accepted, rejected: sorted.refusals, ids: sorted.ids };
  };
}

/** What is known before the items are looked at one by one. */
interface Known {
  lens: Lens;
  context: RequestContext;
  /** When the request came in: the time of touches that say none. */
  arrivedAt: number;
  privacy: Privacy;
  codes: FoundCodes;
  known: IdLookup;
}

/** Items, each where it belongs. */
interface Sorted {
  touches: Outgoing[];
  /** How many were refused, by reason. */
  rejected: Record<string, number>;
  refusals: Taken["rejected"];
  duplicate: number;
  ids: string[];
  /** Ids that the client gave, and the walls of their touches. */
  given: Map<string, string>;
}

function sort(items: readonly Item[], known: Known): Sorted {
  const sorted: Sorted = { touches: [], rejected: {}, refusals: [], duplicate: 0, ids: [], given: new Map() };
  for (const item of items) {
    const code = "arrival" in item ? codeOf(item.arrival, known.codes) : item.refusal;
    if ("arrival" in item && !("message" in code)) take(sorted, item.arrival, { ...known, code });
    else refuse(sorted, code as Refusal);
  }
  return sorted;
}

function refuse({ rejected, refusals, ids }: Sorted, { code, message }: Refusal): void {
  rejected[code] = (rejected[code] ?? 0) + 1;
  refusals.push({ index: ids.length, code, message });
  ids.push("");
}

function take(
  sorted: Sorted,
  arrival: Arrival,
  { code, context, arrivedAt, privacy, lens, known }: Known & { code: TakenCode },
): void {
  const { workspace, test } = context.principal;
  const made = { prefix: idPrefix(arrival.purpose), index: sorted.ids.length };
  const id = arrival.id === "" ? madeId(context, made) : arrival.id;
  sorted.ids.push(id);
  if (arrival.id !== "") {
    const wall = wallOf({ purpose: arrival.purpose, test });
    if (known.isTaken(id, wall)) {
      sorted.duplicate += 1;
      return;
    }
    sorted.given.set(id, wall);
  }
  const touch = touchOf(arrival, { id, workspace, test, now: arrivedAt, privacy, ...code }, lens);
  // Its fault would have been found before: see faultOfArrival.
  const purpose = arrival.purpose as TouchPurpose;
  sorted.touches.push({ touch, purpose, partition: code.partition, weight: weightOf(touch) });
}

/** The code of an arrival. Marketing codes are looked up; of the others the caller has made sure. */
function codeOf({ purpose, codeId, shortId }: Arrival, codes: FoundCodes): TakenCode | Refusal {
  if (purpose !== Purpose.MARKETING) return { codeId, shortId, partition: partitionOf(codeId), metadata: undefined };
  const found = codeId === "" ? codes.byShortId.get(shortId) : codes.byId.get(codeId);
  if (found === undefined) return codeId === "" ? noSuchCode("short_id", shortId) : noSuchCode("qpr_code_id", codeId);
  return found;
}

function namesOf(items: readonly Item[]): CodeNames {
  const codeIds = new Set<string>();
  const shortIds = new Set<string>();
  for (const item of items) {
    if (!("arrival" in item) || item.arrival.purpose !== Purpose.MARKETING) continue;
    if (item.arrival.codeId !== "") codeIds.add(item.arrival.codeId);
    else shortIds.add(item.arrival.shortId);
  }
  return { codeIds, shortIds };
}

function idsOf(items: readonly Item[]): string[] {
  const ids: string[] = [];
  for (const item of items) if ("arrival" in item && item.arrival.id !== "") ids.push(item.arrival.id);
  return ids;
}
