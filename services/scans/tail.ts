import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type Timestamp, TimestampSchema, timestampMs } from "@bufbuild/protobuf/wkt";
import { TouchesRevisedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { ConversationUpdatedSchema, TouchBatchSchema, TouchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Log, LogEntry } from "#runtime/log.ts";
import type { Store } from "#runtime/store.ts";
import { holdsTouches } from "#runtime/touches.ts";
import { type TouchDoc, touchModel } from "./model.ts";
import { scansProjection } from "./project.ts";
import { docOf } from "./project-touches.ts";
import { judgedBy, revisedDoc } from "./revise.ts";
import { talkOn } from "./talk.ts";

/** Where documents and the end of the log are read. */
export interface Sources {
  store: Store;
  log: Pick<Log, "read">;
}

/** What a touch on the log says at its beginning and end, read without the rest. */
export interface TouchPeek {
  id: string;
  workspaceId: string;
  test: boolean;
  bytes: Uint8Array;
}

/** A batch of touches, looked over at a tenth of what decoding it costs. */
export interface BatchPeek {
  recordedAt: number;
  touches: TouchPeek[];
}

/** Entries that the projection has not done yet, from a watermark on. */
export function tailOf({ log }: Pick<Sources, "log">, watermark: number): AsyncIterable<LogEntry[]> {
  return log.read({ after: watermark, subjects: scansProjection.subjects });
}

/** A scan as it will be when the projection has done everything that is on the log now; undefined when it is nowhere. */
export async function readScan(
  { store, log }: Sources,
  { workspace, id }: { workspace: string; id: string },
): Promise<TouchDoc | undefined> {
  const watermark = await store.watermark(scansProjection.name);
  let doc = await store.collection(touchModel).of(workspace).get(id);
  for await (const entries of tailOf({ log }, watermark)) {
    for (const entry of entries) doc = continued(doc, entry, { workspace, id });
  }
  return doc;
}

function continued(
  doc: TouchDoc | undefined,
  { subject, payload, position }: LogEntry,
  { workspace, id }: { workspace: string; id: string },
): TouchDoc | undefined {
  if (holdsTouches(subject) && doc === undefined) {
    const found = peekBatch(payload).touches.find((touch) => touch.id === id && touch.workspaceId === workspace);
    return found && docOf(fromBinary(TouchSchema, found.bytes), position);
  }
  if (doc === undefined) return doc;
  if (subject === "touches.revised") return revised(doc, { payload, position }, { workspace, id });
  if (subject !== "conversations.updated") return doc;
  const update = fromBinary(ConversationUpdatedSchema, payload);
  if (update.workspaceId !== workspace || update.scanId !== id) return doc;
  return { ...doc, ...talkOn(doc, update.messages) };
}

function revised(
  doc: TouchDoc,
  { payload, position }: Pick<LogEntry, "payload" | "position">,
  { workspace, id }: { workspace: string; id: string },
): TouchDoc {
  const { workspaceId, test, revisions, rules, revisedAt } = fromBinary(TouchesRevisedSchema, payload);
  const revision = revisions.find(({ touchId }) => touchId === id);
  if (workspaceId !== workspace || revision === undefined) return doc;
  const at = revisedAt === undefined ? 0 : timestampMs(revisedAt);
  const judged = judgedBy(doc, { revision, test, position, at, rules });
  return judged === undefined ? doc : revisedDoc(doc, judged);
}

/** Looks a batch over. */
export function peekBatch(payload: Uint8Array): BatchPeek {
  const { touches: touchesField, recordedAt: recordedAtField } = TouchBatchSchema.field;
  const touches: TouchPeek[] = [];
  let recordedAt: Timestamp | undefined;
  const reader = new BinaryReader(payload);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === touchesField.number) touches.push(peekTouch(reader.bytes()));
    else if (field === recordedAtField.number) recordedAt = fromBinary(TimestampSchema, reader.bytes());
    else reader.skip(wireType, field);
  }
  return { touches, recordedAt: recordedAt === undefined ? 0 : timestampMs(recordedAt) };
}

function peekTouch(bytes: Uint8Array): TouchPeek {
  const { id, workspaceId, test } = TouchSchema.field;
  const peek = { id: "", workspaceId: "", test: false, bytes };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === id.number) peek.id = reader.string();
    else if (field === workspaceId.number) peek.workspaceId = reader.string();
    else if (field === test.number) peek.test = reader.bool();
    else reader.skip(wireType, field);
  }
  return peek;
}
