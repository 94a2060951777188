import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Purpose, type Touch, TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import { abreast } from "#runtime/runner/together.ts";
import type { Projection } from "#runtime/service.ts";
import type { Store } from "#runtime/store.ts";
import { type NoticeDoc, noticeModel, type ScanDoc, scanModel, type TagDoc, tagModel } from "./model.ts";
import { scanNotice } from "./notice.ts";
import { isAlarming } from "./rules.ts";

/** The only purposes that tags may see. */
const PURPOSES: readonly Purpose[] = [Purpose.LOST_AND_FOUND, Purpose.MEDICAL];

/** Workspaces that a step writes at a time. */
const ABREAST = 4;

/**
 * Scans of tags by people, and notices to the owners of lost and stolen ones, out of the touches. Safe to repeat in any
 * chunks: a scan is inserted by the id of its touch and remembers the position that made it, a notice by the same id.
 */
export const tagsProjection: Projection = {
  name: "tags",
  subjects: ["touches.lost_and_found", "touches.medical"],
  project: async (entries, { store, now }) => {
    await abreast(scansByWorkspace(entries), {
      most: ABREAST,
      run: ([workspace, scans]) => apply(scans, { store, workspace, now: now() }),
    });
  },
};

/** In the order of the log; of several with one id the first. */
function scansByWorkspace(entries: readonly LogEntry[]): Map<string, Map<string, ScanDoc>> {
  const workspaces = new Map<string, Map<string, ScanDoc>>();
  for (const { payload, position } of entries) {
    for (const touch of fromBinary(TouchBatchSchema, payload).touches) {
      if (!PURPOSES.includes(touch.purpose) || touch.verdict !== Verdict.HUMAN) continue;
      const scans = workspaces.get(touch.workspaceId) ?? new Map<string, ScanDoc>();
      workspaces.set(touch.workspaceId, scans);
      if (!scans.has(touch.id)) scans.set(touch.id, toScanDoc(touch, position));
    }
  }
  return workspaces;
}

function toScanDoc(touch: Touch, position: number): ScanDoc {
  return {
    id: touch.id,
    tagId: touch.codeId,
    scannedAt: touch.scannedAt === undefined ? 0 : timestampMs(touch.scannedAt),
    country: touch.place?.country || undefined,
    region: touch.place?.region || undefined,
    city: touch.place?.city || undefined,
    position,
  };
}

async function apply(all: ReadonlyMap<string, ScanDoc>, target: Target): Promise<void> {
  const { store, workspace, now } = target;
  const tagIds = [...new Set([...all.values()].map(({ tagId }) => tagId))];
  const tags = await store.collection(tagModel).of(workspace).getMany(tagIds);
  const scans = [...all.values()].filter(({ tagId }) => exists(tags.get(tagId)));
  if (scans.length === 0) return;
  const outcomes = await store
    .collection(scanModel)
    .of(workspace)
    .bulk(scans.map((doc) => ({ kind: "insert", doc })));
  const counted = scans.filter(({ position }, index) => {
    const outcome = outcomes[index];
    return outcome?.kind === "applied" || (outcome?.kind === "exists" && outcome.doc.position === position);
  });
  const notices = counted.flatMap(({ id: touchId, position: _, ...scan }) => {
    const tag = tags.get(scan.tagId) as TagDoc;
    return isAlarming(tag, { scannedAt: scan.scannedAt, now }) ? [scanNotice(tag, { touchId, ...scan })] : [];
  });
  await store
    .collection(noticeModel)
    .of(workspace)
    .bulk(notices.map((doc) => ({ kind: "insert", doc })));
  if (!store.atomicBatch) await sweep(counted, notices, { ...target, tags });
}

interface Target {
  store: Store;
  workspace: string;
  now: number;
}

/** Removes again what was written for tags that were deleted meanwhile: without transactions their removal may have come between. */
async function sweep(
  scans: readonly ScanDoc[],
  notices: readonly NoticeDoc[],
  { store, workspace, tags }: Target & { tags: ReadonlyMap<string, TagDoc> },
): Promise<void> {
  const now = await store
    .collection(tagModel)
    .of(workspace)
    .getMany([...tags.keys()]);
  const isGone = ({ tagId }: { tagId: string }) =>
    !exists(now.get(tagId)) || now.get(tagId)?.createdAt !== tags.get(tagId)?.createdAt;
  const remove = ({ id }: { id: string }) => ({ kind: "delete", id }) as const;
  await store.collection(scanModel).of(workspace).bulk(scans.filter(isGone).map(remove));
  await store.collection(noticeModel).of(workspace).bulk(notices.filter(isGone).map(remove));
}

function exists(tag: TagDoc | undefined): boolean {
  return tag !== undefined && tag.deletedAt === undefined;
}
