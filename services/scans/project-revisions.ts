import { partitionOf } from "#runtime/log.ts";
import type { Collection, Write } from "#runtime/store.ts";
import { type TouchDoc, touchModel } from "./model.ts";
import type { Target } from "./project-touches.ts";
import { changeOf, deviceBefore, type Judged, judgedBy, type Revision, revisedDoc } from "./revise.ts";
import { codeScope, workspaceScope } from "./scope.ts";
import { standsIn } from "./step.ts";
import { book, countCountry, countInSlot, countScan, slotOf, type Tally, wordOf } from "./tally.ts";

/** A device of a code, of which a scan of a person is one no longer, or now. */
export interface Flipped {
  scope: string;
  codeId: string;
  shelf: string;
  deviceId: string;
  /** When it scanned. */
  slot: number;
  position: number;
}

/**
 * Judges touches again. Whatever a touch counted for before the step it is taken out of, and put where it counts now; its
 * country, its conversation and the ledger go with it. A document remembers the position that revised it last, and why it
 * was filtered and of which device it was before that step: what this step has revised at an earlier run is counted again, and
 * not revised. Answers with the devices whose last scan may be another one now: with a touch that is of another device both.
 */
export async function reviseTouches(revisions: readonly Revision[], target: Target): Promise<Flipped[]> {
  const { store, workspace, step } = target;
  if (revisions.length === 0) return [];
  const collection = store.collection(touchModel).of(workspace);
  const byId = Map.groupBy(revisions, ({ revision }) => revision.touchId);
  const docs = await collection.getMany([...byId.keys()]);
  const writes: Write<TouchDoc>[] = [];
  const turns: Turn[] = [];
  for (const [id, mine] of byId) {
    const doc = docs.get(id);
    if (doc === undefined) continue;
    const { revisedPosition = 0, reasonBefore = "" } = doc;
    const stands = standsIn(step, revisedPosition);
    const deviceId = deviceBefore(doc, step.first);
    if (stands === "in")
      turns.push(turnOf(doc, { before: { reason: reasonBefore, deviceId }, after: doc, position: revisedPosition }));
    const after = stands === "before" ? afterAll(doc, mine) : undefined;
    if (after === undefined) continue;
    const { judged, position } = after;
    turns.push(turnOf(doc, { before: doc, after: judged, position }));
    writes.push(writeOf(doc, after));
  }
  // What another run of this step has written meanwhile is the same: whoever counts it, counts the same.
  await collection.bulk(writes);
  const changed = turns.filter(({ before, after }) => before !== after);
  for (const turn of changed) countTurn(target.tally, turn);
  const flips = changed.filter(({ before, after }) => (before === "") !== (after === ""));
  await findFirsts(flips, { collection, tally: target.tally });
  return turns.flatMap(flippedOf);
}

/** A touch that a step judges again; empty reasons are a person's. */
interface Turn {
  doc: TouchDoc;
  before: string;
  after: string;
  /** The device that it counts for as a person's scan, before and after; undefined: for none. */
  was: string | undefined;
  is: string | undefined;
  position: number;
  /** When it arrived; of one that does not tell, when it was revised. */
  arrivedAt: number;
}

/** Why a touch is filtered, if it is, and of which device it is. */
interface Standing {
  reason?: string | undefined;
  deviceId?: string | undefined;
}

function turnOf(
  doc: TouchDoc,
  { before, after, position }: { before: Standing; after: Standing & Pick<TouchDoc, "rest">; position: number },
): Turn {
  const arrivedAt = Number(after.rest?.at ?? after.rest?.rv ?? 0);
  const [reason, next] = [before.reason ?? "", after.reason ?? ""];
  const was = reason === "" ? before.deviceId : undefined;
  const is = next === "" ? after.deviceId : undefined;
  return { doc, before: reason, after: next, was, is, position, arrivedAt };
}

interface After {
  judged: Judged;
  position: number;
}

function afterAll(doc: TouchDoc, revisions: readonly Revision[]): After | undefined {
  let after: After | undefined;
  for (const one of revisions) {
    const judged = judgedBy(after === undefined ? doc : revisedDoc(doc, after.judged), one);
    if (judged !== undefined) after = { judged, position: one.position };
  }
  return after;
}

function writeOf({ id, version, reason: before }: TouchDoc, { judged, position }: After): Write<TouchDoc> {
  const { set, unset } = changeOf(judged);
  const change = { set: { ...set, revisedPosition: position, reasonBefore: before ?? "" }, unset };
  return { kind: "update", id, change, guard: { version } };
}

/** Takes a touch out of where it counted, and puts it where it counts now. */
function countTurn(tally: Tally, { doc, before, after, position, arrivedAt }: Turn): void {
  const { wall, codeId, scannedAt, country = "" } = doc;
  const partition = partitionOf(codeId);
  const scope = codeScope(wall, codeId);
  for (const [reason, by] of [
    [before, -1],
    [after, 1],
  ] as const) {
    const scan = { scope, scannedAt, reason, country, position, by };
    countScan(tally, scan);
    countScan(tally, { ...scan, scope: workspaceScope(wall, partition) });
    const arrival = { test: wall.endsWith("t"), arrivedAt, partition, position };
    book(tally, arrival, { path: reason === "" ? "counted" : `filtered.${wordOf(reason)}`, by });
    if (reason !== "") continue;
    countCountry(tally, scan);
    if (!doc.started) continue;
    const slot = slotOf(scannedAt);
    countInSlot(tally, { scope, slot, path: "conversations", by, position });
    countInSlot(tally, { scope, slot, path: "messages", by: doc.messages * by, position });
  }
}

/** The first scan of a person of each code is found again: it may be one that is a person's no longer, or again. */
async function findFirsts(
  flips: readonly Turn[],
  { collection, tally }: { collection: Collection<TouchDoc>; tally: Tally },
): Promise<void> {
  for (const [scope, some] of Map.groupBy(flips, ({ doc }) => codeScope(doc.wall, doc.codeId))) {
    const { wall, codeId } = (some[0] as Turn).doc;
    const where = { codeId, shelf: wall };
    const [first] = await collection.find({ where, sort: [["scannedAt", 1]], limit: 1 });
    tally.totals.exactly({ id: scope, made: {} }, "first", first?.scannedAt);
  }
}

function flippedOf({ doc, was, is, position }: Turn): Flipped[] {
  if (was === is) return [];
  const { wall, codeId } = doc;
  const common = { scope: codeScope(wall, codeId), codeId, shelf: wall, slot: slotOf(doc.scannedAt), position };
  return [was, is].flatMap((deviceId) => (deviceId === undefined ? [] : [{ ...common, deviceId }]));
}
