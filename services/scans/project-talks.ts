import type { Write } from "#runtime/store.ts";
import { type Talk, type TouchDoc, touchModel } from "./model.ts";
import type { Target } from "./project-touches.ts";
import { codeScope } from "./scope.ts";
import { type Step, standsIn } from "./step.ts";
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
 * people count in the slot of their scan. What this step has continued at an earlier run is counted again, and not continued.
 */
export async function continueTalks(updates: readonly TalkUpdate[], target: Target): Promise<void> {
  const { store, workspace, tally, step } = target;
  if (updates.length === 0) return;
  const collection = store.collection(touchModel).of(workspace);
  const byScan = Map.groupBy(updates, ({ scanId }) => scanId);
  const docs = await collection.getMany([...byScan.keys()]);
  const changed: TouchDoc[] = [];
  for (const [scanId, mine] of byScan) {
    const doc = docs.get(scanId);
    if (doc === undefined) continue;
    const { talkPosition = 0, talkBefore = { started: false, messages: 0 } } = doc;
    const stands = standsIn(step, talkPosition);
    // A later step has judged it again: all of this one is done, and whose it was before is not known any more.
    if (standsIn(step, doc.revisedPosition ?? 0) === "after") continue;
    const isHuman = wasHuman(doc, step);
    if (stands === "in") countTalk(tally, { doc, isHuman, before: talkBefore, after: doc, position: talkPosition });
    if (stands !== "before") continue;
    const after = afterAll(doc, mine);
    if (after === undefined) continue;
    countTalk(tally, { doc, isHuman, before: doc, after, position: after.talkPosition });
    changed.push({ ...doc, ...after });
  }
  // What another run of this step has written meanwhile is the same: whoever counts it, counts the same.
  await collection.bulk(changed.map(writeOf));
}

/** Whether it was a person's before the step: what the step revises is counted with the conversation as it is after it. */
function wasHuman({ reason = "", revisedPosition = 0, reasonBefore = "" }: TouchDoc, step: Step): boolean {
  return (standsIn(step, revisedPosition) === "in" ? reasonBefore : reason) === "";
}

type Continued = Talk & Required<Pick<TouchDoc, "talkPosition" | "talkBefore">>;

/** A conversation after all updates of a step; undefined when they change nothing. */
function afterAll(doc: TouchDoc, updates: readonly TalkUpdate[]): Continued | undefined {
  const talkBefore: Talk = { started: doc.started, messages: doc.messages };
  let after: Continued | undefined;
  for (const { messages, position } of updates) {
    if (doc.position >= position) continue;
    const { started, messages: most } = after ?? talkBefore;
    const next = talkOn({ started, messages: most }, messages);
    if (next.started !== started || next.messages !== most) after = { ...next, talkPosition: position, talkBefore };
  }
  return after;
}

interface Turn {
  doc: TouchDoc;
  isHuman: boolean;
  before: Talk;
  after: Talk;
  position: number;
}

function countTalk(tally: Tally, { doc, isHuman, before, after, position }: Turn): void {
  if (!isHuman) return;
  const common = { scope: codeScope(doc.wall, doc.codeId), slot: slotOf(doc.scannedAt), position };
  if (after.started && !before.started) countInSlot(tally, { ...common, path: "conversations", by: 1 });
  const more = after.messages - before.messages;
  if (more > 0) countInSlot(tally, { ...common, path: "messages", by: more });
}

function writeOf({ id, version, started, messages, talkPosition, talkBefore }: TouchDoc): Write<TouchDoc> {
  const set = { started, messages, talkPosition, talkBefore };
  return { kind: "update", id, change: { set }, guard: { version } };
}
