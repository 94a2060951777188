import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Purpose, type Touch, TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import { abreast } from "#runtime/runner/together.ts";
import type { Projection } from "#runtime/service.ts";
import type { Store, Write } from "#runtime/store.ts";
import { type CountDoc, countModel, type VisitDoc, type VisitorDoc, visitModel, visitorModel } from "./model.ts";

/** Workspaces that a step writes at a time. */
const ABREAST = 4;

/** Visits, users of touchpoints and counts, from the touches of people at touchpoints. Safe to repeat in any chunks. */
export const touchpointsProjection: Projection = {
  name: "touchpoints",
  subjects: ["touches.touchpoint"],
  project: async (entries, { store }) => {
    const run = ([workspace, visits]: [string, Map<string, VisitDoc>]) => apply(visits, store, workspace);
    await abreast(visitsByWorkspace(entries), { most: ABREAST, run });
  },
};

/** In the order of the log; of several with one id the first. */
function visitsByWorkspace(entries: readonly LogEntry[]): Map<string, Map<string, VisitDoc>> {
  const workspaces = new Map<string, Map<string, VisitDoc>>();
  for (const { payload, position } of entries) {
    for (const touch of fromBinary(TouchBatchSchema, payload).touches) {
      if (touch.purpose !== Purpose.TOUCHPOINT || touch.verdict !== Verdict.HUMAN) continue;
      const visits = workspaces.get(touch.workspaceId) ?? new Map<string, VisitDoc>();
      workspaces.set(touch.workspaceId, visits);
      if (!visits.has(touch.id)) visits.set(touch.id, toVisit(touch, position));
    }
  }
  return workspaces;
}

function toVisit(touch: Touch, position: number): VisitDoc {
  return {
    id: touch.id,
    touchpointId: touch.codeId,
    experienceId: touch.parentId,
    userId: touch.userId,
    at: touch.scannedAt === undefined ? 0 : timestampMs(touch.scannedAt),
    test: touch.test,
    position,
  };
}

async function apply(visits: ReadonlyMap<string, VisitDoc>, store: Store, workspace: string): Promise<void> {
  const counted = await insertVisits([...visits.values()], store, workspace);
  if (counted.length === 0) return;
  const visitors = await meetVisitors(counted, store, workspace);
  const gains = new Map<string, Gain>();
  for (const { touchpointId, position } of counted) gainOf(gains, touchpointId).visits.push(position);
  for (const { touchpointId, position } of visitors) gainOf(gains, touchpointId).visitors.push(position);
  for (let left = gains, round = 0; left.size > 0; round += 1) {
    if (round === 5) throw new Error("counts of touchpoints keep changing under the projection; it will be run again");
    left = await count(left, store, workspace);
  }
}

/** The visits that are not duplicates: made now, or by this position at an earlier run. */
async function insertVisits(visits: readonly VisitDoc[], store: Store, workspace: string): Promise<VisitDoc[]> {
  const outcomes = await store
    .collection(visitModel)
    .of(workspace)
    .bulk(visits.map((doc) => ({ kind: "insert", doc })));
  return visits.filter((visit, i) => {
    const outcome = outcomes[i];
    return outcome?.kind === "applied" || (outcome?.kind === "exists" && outcome.doc.position === visit.position);
  });
}

/** The users of these visits as stored. A visit that is earlier than the first one so far becomes the first. */
async function meetVisitors(visits: readonly VisitDoc[], store: Store, workspace: string): Promise<VisitorDoc[]> {
  const met = new Map<string, VisitorDoc>();
  for (const { touchpointId, userId, at, position } of visits) {
    const id = `${touchpointId}/${userId}`;
    const known = met.get(id);
    if (known === undefined) met.set(id, { id, touchpointId, userId, first: at, position });
    else known.first = Math.min(known.first, at);
  }
  const collection = store.collection(visitorModel).of(workspace);
  const visitors = [...met.values()];
  const outcomes = await collection.bulk(visitors.map((doc) => ({ kind: "insert", doc })));
  const earlier: Write<VisitorDoc>[] = [];
  const stored = visitors.map((visitor, i) => {
    const outcome = outcomes[i];
    if (outcome?.kind !== "exists") return visitor;
    if (visitor.first < outcome.doc.first)
      earlier.push({ kind: "update", id: visitor.id, change: { min: { first: visitor.first } } });
    return outcome.doc;
  });
  await collection.bulk(earlier);
  return stored;
}

/** Log positions of visits, and of the visits that made users, at one touchpoint. */
interface Gain {
  visits: number[];
  visitors: number[];
}

function gainOf(gains: Map<string, Gain>, touchpointId: string): Gain {
  const gain = gains.get(touchpointId) ?? { visits: [], visitors: [] };
  gains.set(touchpointId, gain);
  return gain;
}

/** Adds what lies beyond the position of each count. Returns those whose count was changed by another holder meanwhile. */
async function count(gains: Map<string, Gain>, store: Store, workspace: string): Promise<Map<string, Gain>> {
  const collection = store.collection(countModel).of(workspace);
  const counts = await collection.getMany([...gains.keys()]);
  const ids: string[] = [];
  const writes: Write<CountDoc>[] = [];
  for (const [id, gain] of gains) {
    const known = counts.get(id);
    const isNew = (position: number) => position > (known?.position ?? 0);
    const total = gain.visits.filter(isNew).length;
    if (total === 0) continue;
    const unique = gain.visitors.filter(isNew).length;
    const position = gain.visits.reduce((a, b) => Math.max(a, b));
    ids.push(id);
    if (known === undefined) writes.push({ kind: "insert", doc: { id, total, unique, position } });
    else {
      const change = { inc: { total, unique }, set: { position } };
      writes.push({ kind: "update", id, change, guard: { where: { position: known.position } } });
    }
  }
  if (writes.length === 0) return new Map();
  const outcomes = await collection.bulk(writes);
  const unmet = ids.filter((_, i) => outcomes[i]?.kind !== "applied");
  return new Map(unmet.map((id) => [id, gains.get(id) as Gain]));
}
