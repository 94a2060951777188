import type { Write } from "#runtime/store.ts";
import { type Talk, type TouchDoc, touchModel } from "./model.ts";
import type { Target } from "./project-touches.ts";
import { codeScope } from "./scope.ts";
import { talkOn } from "./talk.ts";
import { countInSlot, slotOf, type Tally } from "./tally.ts";

/** An update of a conversation as it stands on the log. */
export interface TalkUpdate {
  scanId: string;
  messages: number;
  position: number;
}

/**
 * Continues conversations. An update of a scan that was not there at its position changes nothing. Conversations of
 * people count in the slot of their scan.
 */
export async function continueTalks(
  updates: readonly TalkUpdate[],
  { store, workspace, tally }: Target,
): Promise<void> {
  if (updates.length === 0) return;
  const collection = store.collection(touchModel).of(workspace);
  const docs = await collection.getMany([...new Set(updates.map(({ scanId }) => scanId))]);
  const changed = new Map<string, TouchDoc>();
  for (const { scanId, messages, position } of updates) {
    const doc = changed.get(scanId) ?? docs.get(scanId);
    if (doc === undefined || doc.position >= position || (doc.talkPosition ?? 0) > position) continue;
    if (doc.talkPosition === position) {
      countTalk(tally, { doc, before: doc.talkBefore ?? { started: false, messages: 0 }, after: doc, position });
      continue;
    }
    const after = talkOn(doc, messages);
    countTalk(tally, { doc, before: doc, after, position });
    const talkBefore = { started: doc.started, messages: doc.messages };
    changed.set(scanId, { ...doc, ...after, talkPosition: position, talkBefore });
  }
  const outcomes = await collection.bulk([...changed.values()].map(writeOf));
  if (outcomes.some(({ kind }) => kind !== "applied"))
    throw new Error("conversations were continued by another projection; it runs again");
}

interface Turn {
  doc: TouchDoc;
  before: Talk;
  after: Talk;
  position: number;
}

function countTalk(tally: Tally, { doc, before, after, position }: Turn): void {
  if (doc.reason !== undefined) return;
  const common = { scope: codeScope(doc.wall, doc.codeId), slot: slotOf(doc.scannedAt), position };
  if (after.started && !before.started) countInSlot(tally, { ...common, path: "conversations", by: 1 });
  const more = after.messages - before.messages;
  if (more > 0) countInSlot(tally, { ...common, path: "messages", by: more });
}

function writeOf({ id, version, started, messages, talkPosition, talkBefore }: TouchDoc): Write<TouchDoc> {
  const set = { started, messages, talkPosition, talkBefore };
  return { kind: "update", id, change: { set }, guard: { version } };
}
