import { fromBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import { ConversationUpdatedSchema, TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import type { Projection } from "#runtime/service.ts";
import type { Store } from "#runtime/store.ts";
import { holdsTouches, TOUCH_SUBJECTS } from "#runtime/touches.ts";
import { moveDevices } from "./project-devices.ts";
import { continueTalks, type TalkUpdate } from "./project-talks.ts";
import { type Arrived, recordTouches } from "./project-touches.ts";
import { type Arrival, book, newTally, type Tally, wordOf, writeTally } from "./tally.ts";

/**
 * Scan documents, counters and the ledger, from everything that intake writes. Exact in any chunks and at any repetition:
 * documents remember the position that made them, counters the last one they have. Documents are written before the
 * counters that are derived from what they were.
 */
export const scansProjection: Projection = {
  name: "scans",
  subjects: [...TOUCH_SUBJECTS, "touches.refused", "conversations.updated"],
  project: async (entries, { store }) => {
    for (const [workspace, step] of stepsOf(entries)) await apply(step, store, workspace);
  },
};

/** What entries say about one workspace, in the order of the log. */
interface Step {
  touches: Arrived[];
  talks: TalkUpdate[];
  refused: Refused[];
}

interface Refused extends Arrival {
  rejected: Readonly<Record<string, number>>;
  shed: number;
  duplicate: number;
}

async function apply(step: Step, store: Store, workspace: string): Promise<void> {
  const tally = newTally();
  const counted = await recordTouches(step.touches, { store, workspace, tally });
  await moveDevices(counted, { store, workspace, tally });
  await continueTalks(step.talks, { store, workspace, tally });
  for (const refused of step.refused) bookRefused(tally, refused);
  await writeTally(tally, store, workspace);
}

function bookRefused(tally: Tally, refused: Refused): void {
  const { rejected, shed, duplicate } = refused;
  for (const reason in rejected)
    book(tally, refused, { path: `rejected.${wordOf(reason)}`, by: rejected[reason] ?? 0 });
  if (shed > 0) book(tally, refused, { path: "shed", by: shed });
  if (duplicate === 0) return;
  book(tally, refused, { path: "accepted", by: duplicate });
  book(tally, refused, { path: "duplicate", by: duplicate });
}

function stepsOf(entries: readonly LogEntry[]): Map<string, Step> {
  const steps = new Map<string, Step>();
  const stepOf = (workspace: string): Step => {
    let step = steps.get(workspace);
    if (step === undefined) {
      step = { touches: [], talks: [], refused: [] };
      steps.set(workspace, step);
    }
    return step;
  };
  for (const entry of entries) {
    if (holdsTouches(entry.subject)) readTouches(entry, stepOf);
    else if (entry.subject === "touches.refused") readRefused(entry, stepOf);
    else if (entry.subject === "conversations.updated") readTalk(entry, stepOf);
  }
  return steps;
}

type StepOf = (workspace: string) => Step;

function readTouches({ payload, position, partition }: LogEntry, stepOf: StepOf): void {
  const { touches, recordedAt } = fromBinary(TouchBatchSchema, payload);
  const arrivedAt = msOf(recordedAt);
  for (const touch of touches) stepOf(touch.workspaceId).touches.push({ touch, position, partition, arrivedAt });
}

function readRefused({ payload, position, partition }: LogEntry, stepOf: StepOf): void {
  const { workspaceId, arrivedAt, rejected, shed, duplicate, test } = fromBinary(TouchesRefusedSchema, payload);
  const arrival = { position, partition, arrivedAt: msOf(arrivedAt), test };
  stepOf(workspaceId).refused.push({ ...arrival, rejected, shed, duplicate });
}

function readTalk({ payload, position }: LogEntry, stepOf: StepOf): void {
  const { workspaceId, scanId, messages } = fromBinary(ConversationUpdatedSchema, payload);
  stepOf(workspaceId).talks.push({ scanId, messages, position });
}

function msOf(time: Timestamp | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}
