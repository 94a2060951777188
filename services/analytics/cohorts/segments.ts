import type { HandlerContext } from "@connectrpc/connect";
import { contextOf } from "#runtime/context.ts";
import type { AnalyticsDeps } from "../asking.ts";
import type { Params } from "../engine/query.ts";
import type { NarrowedQuestion } from "../narrowing.ts";
import { fail } from "../reasons.ts";
import { scoringOf } from "../scoring/weights.ts";
import { membersSql } from "../segments/members.ts";
import { type SegmentDoc, segmentModel } from "../segments/model.ts";
import type { Dimension } from "./dimensions.ts";

/** Which segments are cohorts. */
interface Wanted {
  question: NarrowedQuestion;
  /** Empty: the oldest, at most `limit`. */
  segmentIds: readonly string[];
  limit: number;
}

const NOBODY = "SELECT NULL::BIGINT AS visitor_key, NULL::VARCHAR AS segment_id WHERE false";

/** Cohorts that are saved segments: their members by all that the caller sees, now. Refuses unknown ones. */
export async function segmentDimension(
  own: AnalyticsDeps,
  handler: HandlerContext,
  wanted: Wanted,
): Promise<Dimension> {
  const { principal } = contextOf(handler);
  const { question } = wanted;
  const segments = await segmentsOf(own, handler, wanted);
  const { weights } = await scoringOf(own.store, principal);
  const params: Record<string, Params[string]> = {};
  const parts = segments.map((doc, index) => {
    const members = membersSql({ scope: question.seen }, { doc, now: question.now, weights, prefix: `s${index}` });
    params[`segment${index}`] = doc.id;
    Object.assign(params, members.params);
    return `SELECT visitor_key, $segment${index} AS segment_id FROM (${members.sql})`;
  });
  return {
    cohort: "m.segment_id",
    join: `JOIN (${parts.join(" UNION ALL ") || NOBODY}) m ON m.visitor_key = f.visitor_key`,
    params,
    labels: new Map(segments.map(({ id, name }) => [id, name])),
    ...{ looksAtFirst: false, isLink: false, isPersonal: false, isPartial: true },
  };
}

async function segmentsOf(
  { store }: AnalyticsDeps,
  handler: HandlerContext,
  { segmentIds, limit }: Wanted,
): Promise<SegmentDoc[]> {
  const { workspace, test } = contextOf(handler).principal;
  const segments = store.collection(segmentModel).of(workspace);
  if (segmentIds.length === 0) return segments.find({ where: { test }, sort: [["createdAt", 1]], limit });
  const found = await segments.getMany([...segmentIds]);
  return segmentIds.map((id) => {
    const doc = found.get(id);
    if (doc === undefined || doc.test !== test) throw fail("SEGMENT_NOT_FOUND", { segmentId: id });
    return doc;
  });
}
