import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Purpose, type Touch, TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import { abreast } from "#runtime/runner/together.ts";
import type { Projection } from "#runtime/service.ts";
import type { Store, Write } from "#runtime/store.ts";
import { type ImpressionDoc, impressionModel, type TotalDoc, totalModel } from "./model.ts";
import { totalIdsOf } from "./totals.ts";

/** Workspaces that a step writes at a time. */
const ABREAST = 4;

/** Impressions and their totals, from the touches of people at ambassadors' posters. Safe to repeat in any chunks. */
export const impressionsProjection: Projection = {
  name: "impressions",
  subjects: ["touches.ambassador"],
  project: async (entries, { store }) => {
    const run = async ([workspace, arrivals]: [string, Map<string, Arrival>]) => {
      const counted = await insertImpressions([...arrivals.values()], store, workspace);
      await count(counted, store, workspace);
    };
    await abreast(arrivalsByWorkspace(entries), { most: ABREAST, run });
  },
};

/** An impression and the partition of the log that it came on. */
interface Arrival {
  doc: ImpressionDoc;
  partition: number;
}

/** In the order of the log; of several with one id the first. */
function arrivalsByWorkspace(entries: readonly LogEntry[]): Map<string, Map<string, Arrival>> {
  const workspaces = new Map<string, Map<string, Arrival>>();
  for (const { payload, position, partition } of entries) {
    for (const touch of fromBinary(TouchBatchSchema, payload).touches) {
      if (touch.purpose !== Purpose.AMBASSADOR || touch.verdict !== Verdict.HUMAN) continue;
      const arrivals = workspaces.get(touch.workspaceId) ?? new Map<string, Arrival>();
      workspaces.set(touch.workspaceId, arrivals);
      if (!arrivals.has(touch.id)) arrivals.set(touch.id, { doc: toImpression(touch, position), partition });
    }
  }
  return workspaces;
}

function toImpression(touch: Touch, position: number): ImpressionDoc {
  return {
    id: touch.id,
    posterId: touch.codeId,
    programId: touch.parentId,
    studentId: touch.ownerId,
    scannedAt: touch.scannedAt === undefined ? 0 : timestampMs(touch.scannedAt),
    userAgent: touch.userAgent || undefined,
    ipAddress: touch.ip || undefined,
    metadata: touch.metadata ?? {},
    test: touch.test,
    position,
  };
}

/** The impressions that are not duplicates: made now, or by this position at an earlier run. */
async function insertImpressions(arrivals: readonly Arrival[], store: Store, workspace: string): Promise<Arrival[]> {
  const collection = store.collection(impressionModel).of(workspace);
  const outcomes = await collection.bulk(arrivals.map(({ doc }) => ({ kind: "insert", doc })));
  return arrivals.filter(({ doc }, i) => {
    const outcome = outcomes[i];
    return outcome?.kind === "applied" || (outcome?.kind === "exists" && outcome.doc.position === doc.position);
  });
}

/** Adds to each total what lies beyond its position; reads again where another holder changed one meanwhile. */
async function count(arrivals: readonly Arrival[], store: Store, workspace: string): Promise<void> {
  const positions = new Map<string, number[]>();
  for (const { doc, partition } of arrivals) {
    for (const id of totalIdsOf(doc, partition)) {
      const list = positions.get(id);
      if (list === undefined) positions.set(id, [doc.position]);
      else list.push(doc.position);
    }
  }
  for (let round = 0; positions.size > 0; round += 1) {
    if (round === 5) throw new Error("totals of impressions keep changing under the projection; it will be run again");
    for (const id of await add(positions, store, workspace)) positions.delete(id);
  }
}

/** Returns the ids of the totals that are up to date now. */
async function add(positions: ReadonlyMap<string, number[]>, store: Store, workspace: string): Promise<string[]> {
  const collection = store.collection(totalModel).of(workspace);
  const totals = await collection.getMany([...positions.keys()]);
  const done: string[] = [];
  const ids: string[] = [];
  const writes: Write<TotalDoc>[] = [];
  for (const [id, list] of positions) {
    const known = totals.get(id);
    const fresh = list.filter((position) => position > (known?.position ?? 0));
    if (fresh.length === 0) {
      done.push(id);
      continue;
    }
    const position = fresh.reduce((a, b) => Math.max(a, b));
    ids.push(id);
    if (known === undefined) writes.push({ kind: "insert", doc: { id, total: fresh.length, position } });
    else {
      const change = { inc: { total: fresh.length }, set: { position } };
      writes.push({ kind: "update", id, change, guard: { where: { position: known.position } } });
    }
  }
  const outcomes = writes.length === 0 ? [] : await collection.bulk(writes);
  return [...done, ...ids.filter((_, i) => outcomes[i]?.kind === "applied")];
}
