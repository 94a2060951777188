import { createHash } from "node:crypto";
import { toJson } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { ConditionSchema } from "#gen/waymark/analytics/v1/filter_pb.ts";
import type {
  Behaviour,
  CreateSegmentRequest,
  SegmentService,
  UpdateSegmentRequest,
} from "#gen/waymark/analytics/v1/segments_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, ask } from "../asking.ts";
import { decodeCursor, encodeCursor } from "../cursor.ts";
import { visitorsWithIncludes } from "../events/includes.ts";
import { explain } from "../explain.ts";
import { readWatermark } from "../feed/watermark.ts";
import { checkPersonal, compileWhere } from "../fields/where.ts";
import { fail } from "../reasons.ts";
import { asOf } from "../scope.ts";
import { scoringOf } from "../scoring/weights.ts";
import { conditionsOf, membersSql, readMembers, readSize } from "./members.ts";
import { type BehaviourRule, type SegmentDoc, segmentModel, segmentNameModel } from "./model.ts";

/** Handlers of SegmentService. */
export function segmentHandlers(own: AnalyticsDeps): ServiceImpl<typeof SegmentService> {
  return {
    createSegment: async (request, handler) => ({
      segment: await sized(own, await create(own, request, handler), handler),
    }),
    listSegments: async ({ pageSize = 20, pageToken }, handler) => {
      const { workspace, test } = contextOf(handler).principal;
      const size = Math.min(pageSize, 50);
      const skip = decodeCursor(["segments", workspace, test], pageToken)?.key ?? 0;
      const query = { where: { test }, sort: [["createdAt", 1]] as const, skip, limit: size + 1 };
      const [docs, total] = await Promise.all([
        segmentsOf(own, handler).find(query),
        segmentsOf(own, handler).count({ test }),
      ]);
      // One after the other: a list must not take the turns of all other questions.
      const segments: Awaited<ReturnType<typeof sized>>[] = [];
      for (const doc of docs.slice(0, size)) segments.push(await sized(own, doc, handler));
      const cursor = { key: skip + size, id: "", upTo: 0, total: 0 };
      const nextPageToken = docs.length > size ? encodeCursor(["segments", workspace, test], cursor) : "";
      return { segments, nextPageToken, totalCount: BigInt(total) };
    },
    getSegment: async ({ segmentId, explain: isAsked }, handler) => {
      const doc = await find(own, segmentId, handler);
      const segment = await sized(own, doc, handler);
      if (!isAsked) return { segment };
      return { segment, explanation: await told(own, doc, handler) };
    },
    updateSegment: async (request, handler) => ({
      segment: await sized(own, await update(own, request, handler), handler),
    }),
    deleteSegment: async ({ segmentId }, handler) => {
      const doc = await find(own, segmentId, handler);
      await namesOf(own, handler).delete(nameIdOf(doc));
      await segmentsOf(own, handler).delete(doc.id);
      return {};
    },
    listSegmentVisitors: async ({ segmentId, pageSize = 50, pageToken, include }, handler) => {
      const doc = await find(own, segmentId, handler);
      const { principal, now } = contextOf(handler);
      const asked = ["segment", principal.workspace, principal.test, doc.id, doc.updatedAt];
      const after = decodeCursor(asked, pageToken);
      const question = await ask(own, handler);
      const upTo = after?.upTo ?? (await readWatermark(question.duck)).position;
      const size = Math.min(pageSize, 200);
      const offset = after?.key ?? 0;
      const at = after === undefined ? now() : after.total;
      const { weights } = await scoringOf(own.store, principal);
      const { rows, total } = await readMembers(question, { doc, now: at, weights, upTo, offset, size });
      const asking = { ...question, scope: asOf(question.scope, upTo) };
      const page = { rows: rows.slice(0, size), include: new Set(include) };
      const visitors = await visitorsWithIncludes({ ...own, handler }, asking, page);
      const hasMore = rows.length > size;
      const next = { key: offset + size, id: "", upTo, total: Math.floor(at) };
      return { visitors, hasMore, nextPageToken: hasMore ? encodeCursor(asked, next) : "", totalCount: BigInt(total) };
    },
  };
}

const segmentsOf = ({ store }: AnalyticsDeps, handler: HandlerContext) =>
  store.collection(segmentModel).of(contextOf(handler).principal.workspace);
const namesOf = ({ store }: AnalyticsDeps, handler: HandlerContext) =>
  store.collection(segmentNameModel).of(contextOf(handler).principal.workspace);

function nameIdOf({ test, name }: Pick<SegmentDoc, "test" | "name">): string {
  return `${test ? "test" : "live"}:${createHash("sha256").update(name.trim().toLowerCase()).digest("hex")}`;
}

async function find(own: AnalyticsDeps, segmentId: string, handler: HandlerContext): Promise<SegmentDoc> {
  const doc = await segmentsOf(own, handler).get(segmentId);
  if (doc === undefined || doc.test !== contextOf(handler).principal.test)
    throw fail("SEGMENT_NOT_FOUND", { segmentId });
  return doc;
}

async function create(own: AnalyticsDeps, request: CreateSegmentRequest, handler: HandlerContext): Promise<SegmentDoc> {
  const context = contextOf(handler);
  const { test } = context.principal;
  const now = context.now();
  const doc: SegmentDoc = {
    ...{ id: context.newId("seg"), test, name: request.name.trim(), description: request.description },
    where: { list: request.where.map((one) => toJson(ConditionSchema, one)) },
    behaviours: { list: request.behaviours.map(ruleOf) },
    ...{ createdAt: now, updatedAt: now },
  };
  await check(own, doc, handler);
  await claimName(own, doc, handler);
  await segmentsOf(own, handler).insert(doc);
  return doc;
}

function ruleOf({ linkId, tag, atLeast = 1, withinDays, never }: Behaviour): BehaviourRule {
  return { linkId, tag, atLeast, withinDays, never };
}

/** Refuses what cannot be asked for, before it is stored. */
async function check(own: AnalyticsDeps, doc: SegmentDoc, handler: HandlerContext): Promise<void> {
  if (doc.where.list.length + doc.behaviours.list.length === 0) throw fail("SEGMENT_EMPTY", { field: "where" });
  const { principal, now } = contextOf(handler);
  const conditions = conditionsOf(doc);
  checkPersonal(principal, { from: "visitors", where: conditions });
  const [{ scope }, { weights }] = await Promise.all([ask(own, handler), scoringOf(own.store, principal)]);
  compileWhere(conditions, "visitors", "w", { scope, now: now(), weights });
}

async function claimName(own: AnalyticsDeps, doc: SegmentDoc, handler: HandlerContext): Promise<void> {
  const names = namesOf(own, handler);
  const id = nameIdOf(doc);
  const outcome = await names.insert({ id, segmentId: doc.id });
  if (outcome.kind !== "exists" || outcome.doc.segmentId === doc.id) return;
  if ((await segmentsOf(own, handler).get(outcome.doc.segmentId)) !== undefined)
    throw fail("SEGMENT_NAME_TAKEN", { field: "name" });
  await names.update(id, { set: { segmentId: doc.id } }); // whoever had it was never stored, or is gone
}

async function update(own: AnalyticsDeps, request: UpdateSegmentRequest, handler: HandlerContext): Promise<SegmentDoc> {
  const old = await find(own, request.segmentId, handler);
  const cleared = new Set(request.clear);
  const where = request.where.map((one) => toJson(ConditionSchema, one));
  const behaviours = request.behaviours.map(ruleOf);
  const set = {
    name: request.name?.trim() ?? old.name,
    description: request.description ?? old.description,
    where: { list: where.length > 0 || cleared.has("where") ? where : old.where.list },
    behaviours: { list: behaviours.length > 0 || cleared.has("behaviours") ? behaviours : old.behaviours.list },
    updatedAt: contextOf(handler).now(),
  };
  const next = { ...old, ...set };
  await check(own, next, handler);
  await claimName(own, next, handler);
  if (nameIdOf(next) !== nameIdOf(old)) await namesOf(own, handler).delete(nameIdOf(old));
  const stored = await segmentsOf(own, handler).update(old.id, { set });
  if (stored === undefined) throw fail("SEGMENT_NOT_FOUND", { segmentId: old.id });
  return stored;
}

/** Where the size of a segment comes from: the events of those who are in it. */
async function told(own: AnalyticsDeps, doc: SegmentDoc, handler: HandlerContext) {
  const { principal, now } = contextOf(handler);
  const question = await ask(own, handler);
  const { weights } = await scoringOf(own.store, principal);
  const { sql, params } = membersSql(question, { doc, now: now(), weights });
  const scope = { ...question.scope, params: { ...params, ...question.scope.params } };
  const where = `visitor_key IN (SELECT visitor_key FROM (${sql}))`;
  return explain({ ...question, scope }, { definition: "segments", where, log: own.log });
}

/** A segment as clients see it, with how many are in it now. */
async function sized(own: AnalyticsDeps, doc: SegmentDoc, handler: HandlerContext) {
  const { principal, now: clock } = contextOf(handler);
  const now = clock();
  const { weights } = await scoringOf(own.store, principal);
  const size = await readSize(await ask(own, handler), { doc, now, weights });
  return {
    ...{ id: doc.id, name: doc.name, description: doc.description },
    where: conditionsOf(doc),
    behaviours: [...doc.behaviours.list],
    size: BigInt(size),
    asOf: timestampFromMs(now),
    createdAt: timestampFromMs(doc.createdAt),
    updatedAt: timestampFromMs(doc.updatedAt),
  };
}
