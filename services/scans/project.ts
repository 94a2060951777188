import { fromBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { TouchesRevisedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import { ConversationUpdatedSchema, TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import { abreast, together } from "#runtime/runner/together.ts";
import type { Projection } from "#runtime/service.ts";
import { holdsTouches, TOUCH_SUBJECTS } from "#runtime/touches.ts";
import { moveDevices } from "./project-devices.ts";
import { reviseTouches } from "./project-revisions.ts";
import { continueTalks, type TalkUpdate } from "./project-talks.ts";
import { type Arrived, recordTouches, type Target } from "./project-touches.ts";
import type { Revision } from "./revise.ts";
import { type Arrival, book, newTally, type Tally, wordOf } from "./tally.ts";

/** Workspaces that a step writes at a time. */
const ABREAST = 4;

/**
 * Scan documents, counters and the ledger, from everything that intake writes. Exact at any repetition of a step:
 * documents remember the position that made them, what a step changes also how it was before, counters the last position
 * they have. Documents are written before the counters that are derived from what they were.
 */
export const scansProjection: Projection = {
  name: "scans",
  subjects: [...TOUCH_SUBJECTS, "touches.refused", "touches.revised", "conversations.updated"],
  project: async (entries, { store }) => {
    const step = { first: entries[0]?.position ?? 0, last: entries.at(-1)?.position ?? 0 };
    await abreast(sharesOf(entries), {
      most: ABREAST,
      run: ([workspace, share]) => apply(share, { step, store, workspace, tally: newTally() }),
    });
  },
};

/** What entries say about one workspace, in the order of the log. */
interface Share {
  touches: Arrived[];
  talks: TalkUpdate[];
  refused: Refused[];
  revisions: Revision[];
}

interface Refused extends Arrival {
  rejected: Readonly<Record<string, number>>;
  shed: number;
  duplicate: number;
}

async function apply(share: Share, target: Target): Promise<void> {
  const { tally, store, workspace } = target;
  for (const refused of share.refused) bookRefused(tally, refused);
  const counted = await recordTouches(share.touches, target);
  const revising = async () => {
    await continueTalks(share.talks, target);
    return reviseTouches(share.revisions, target);
  };
  const write = (of: (keyof Tally)[]) => of.map((name) => tally[name].write(store, workspace));
  if (share.revisions.length > 0) {
    await moveDevices(counted, target, await revising());
    await together(write(["days", "countries", "totals", "ledger"]));
    return;
  }
  const days = async () => {
    await together([moveDevices(counted, target, []), revising()]);
    await together(write(["days"]));
  };
  await together([days(), ...write(["countries", "totals", "ledger"])]);
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

function sharesOf(entries: readonly LogEntry[]): Map<string, Share> {
  const shares = new Map<string, Share>();
  const shareOf = (workspace: string): Share => {
    let share = shares.get(workspace);
    if (share === undefined) {
      share = { touches: [], talks: [], refused: [], revisions: [] };
      shares.set(workspace, share);
    }
    return share;
  };
  for (const entry of entries) {
    if (holdsTouches(entry.subject)) readTouches(entry, shareOf);
    else if (entry.subject === "touches.refused") readRefused(entry, shareOf);
    else if (entry.subject === "conversations.updated") readTalk(entry, shareOf);
    else if (entry.subject === "touches.revised") readRevisions(entry, shareOf);
  }
  return shares;
}

type ShareOf = (workspace: string) => Share;

function readTouches({ payload, position, partition }: LogEntry, shareOf: ShareOf): void {
  const { touches, recordedAt } = fromBinary(TouchBatchSchema, payload);
  const arrivedAt = msOf(recordedAt);
  for (const touch of touches) shareOf(touch.workspaceId).touches.push({ touch, position, partition, arrivedAt });
}

function readRefused({ payload, position, partition }: LogEntry, shareOf: ShareOf): void {
  const { workspaceId, arrivedAt, rejected, shed, duplicate, test } = fromBinary(TouchesRefusedSchema, payload);
  const arrival = { position, partition, arrivedAt: msOf(arrivedAt), test };
  shareOf(workspaceId).refused.push({ ...arrival, rejected, shed, duplicate });
}

function readTalk({ payload, position }: LogEntry, shareOf: ShareOf): void {
  const { workspaceId, scanId, messages } = fromBinary(ConversationUpdatedSchema, payload);
  shareOf(workspaceId).talks.push({ scanId, messages, position });
}

function readRevisions({ payload, position }: LogEntry, shareOf: ShareOf): void {
  const { workspaceId, test, revisions, rules, revisedAt } = fromBinary(TouchesRevisedSchema, payload);
  const common = { test, position, at: msOf(revisedAt), rules };
  for (const revision of revisions) shareOf(workspaceId).revisions.push({ revision, ...common });
}

function msOf(time: Timestamp | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}
