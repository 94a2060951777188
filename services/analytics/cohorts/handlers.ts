import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AnalyzeCohortsRequest,
  type AnalyzeRetentionRequest,
  CohortInterval,
  CohortKind,
  type CohortService,
} from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
import type { AnalyticsDeps } from "../asking.ts";
import { goalOf, goalsSql } from "../attribution/goals.ts";
import { explain } from "../explain.ts";
import { checkVisitors } from "../fields/where.ts";
import { linkNames } from "../journeys/names.ts";
import { fail } from "../reasons.ts";
import { type CohortAnswer, readCohorts } from "./cohorts.ts";
import { type Dimension, dimensionOf } from "./dimensions.ts";
import { readRetention } from "./retention.ts";
import { segmentDimension } from "./segments.ts";
import { eitherOf, type Standing, standingOf } from "./standing.ts";

const DEFAULT_PERIODS = 12;
const DEFAULT_DAYS = 30;
const DEFAULT_LIMIT = 20;
/** Intervals of first events, at most; with 60 periods each an answer has some thousands of numbers. */
const MOST_INTERVALS = 120;
/** Where no start is given. */
const INTERVALS_BACK = 60;

/** Handlers of CohortService. */
export function cohortHandlers(own: AnalyticsDeps): ServiceImpl<typeof CohortService> {
  return {
    analyzeCohorts: (request, handler) => answerCohorts(own, request, handler),
    analyzeRetention: (request, handler) => answerRetention(own, request, handler),
  };
}

async function answerCohorts(own: AnalyticsDeps, request: AnalyzeCohortsRequest, handler: HandlerContext) {
  const wanted = wantedOf(request);
  if (wanted !== "segments" && wanted?.isPersonal) checkVisitors(contextOf(handler).principal);
  const goal = goalOf(request.conversion);
  const interval = eitherOf(request.interval, request.period, "period") || CohortInterval.MONTH;
  const standing = await standingOf(own, handler, { ...request, interval });
  const periods = request.periods ?? DEFAULT_PERIODS;
  const limit =
    wanted === undefined ? MOST_INTERVALS : (request.limit ?? Math.max(DEFAULT_LIMIT, request.segmentIds.length));
  const { question } = standing;
  const { segmentIds } = request;
  const dimension =
    wanted === "segments" ? await segmentDimension(own, handler, { question, segmentIds, limit }) : wanted;
  const goals = goalsSql(goal, question.seen.sql);
  const asked = { ...rangeOf(standing, periods), periods, dimension, limit, goals };
  const { cohorts, visitors, truncated } = await readCohorts(asked, standing);
  const nameOf = await namesOf(cohorts, { standing, dimension });
  return {
    cohorts: cohorts
      .toSorted(dimension === undefined ? byTime : bySize)
      .map(({ cohort, ...rest }) => ({ ...rest, ...nameOf(cohort) })),
    visitors,
    truncated,
    interval,
    timezone: standing.zone,
    explanation: request.explain ? await telling(own, { request, standing, definition: "cohorts" }) : undefined,
  };
}

/** By what cohorts are made; undefined: by time. */
function wantedOf(request: AnalyzeCohortsRequest): Dimension | "segments" | undefined {
  const { behaviour, attribute, segmentIds } = request;
  const kind =
    eitherOf(request.kind, request.by, "by") || (behaviour === undefined ? CohortKind.TIME : CohortKind.BEHAVIOUR);
  if (kind !== CohortKind.BEHAVIOUR && behaviour !== undefined)
    throw refuse("INVALID_FIELD", { field: "behaviour", must: "goes with the kind BEHAVIOUR" });
  if (kind !== CohortKind.ATTRIBUTE && attribute !== undefined)
    throw refuse("INVALID_FIELD", { field: "attribute", must: "goes with the kind ATTRIBUTE" });
  if (kind !== CohortKind.SEGMENT && segmentIds.length > 0)
    throw refuse("INVALID_FIELD", { field: "segment_ids", must: "goes with the kind SEGMENT" });
  if (kind === CohortKind.TIME) return undefined;
  if (kind === CohortKind.SEGMENT) return "segments";
  if (kind === CohortKind.ATTRIBUTE && attribute === undefined)
    throw refuse("INVALID_FIELD", { field: "attribute", must: "must be given with the kind ATTRIBUTE" });
  if (kind === CohortKind.ATTRIBUTE) return dimensionOf(`attributes.${attribute}`);
  if (behaviour === undefined)
    throw refuse("INVALID_FIELD", { field: "behaviour", must: "must be given with the kind BEHAVIOUR" });
  return dimensionOf(behaviour.dimension);
}

/** The intervals of first events. */
function rangeOf({ calendar, start, end }: Standing, periods: number): { first: number; last: number; from: number } {
  const last = calendar.indexOf(end);
  const back = Math.min(INTERVALS_BACK, periods);
  const first = start === undefined ? last - back : calendar.indexOf(start);
  const intervals = last - first + 1;
  if (intervals > MOST_INTERVALS)
    throw fail("COHORTS_TOO_MANY", { field: "start_date", intervals, most: MOST_INTERVALS });
  return { first, last, from: start ?? calendar.startOf(first) };
}

function byTime(one: CohortAnswer, other: CohortAnswer): number {
  return Number(one.cohort) - Number(other.cohort);
}

function bySize(one: CohortAnswer, other: CohortAnswer): number {
  return other.size - one.size || Buffer.compare(Buffer.from(one.cohort), Buffer.from(other.cohort));
}

/** How cohorts are called. */
async function namesOf(
  cohorts: readonly CohortAnswer[],
  { standing, dimension }: { standing: Standing; dimension: Dimension | undefined },
): Promise<(cohort: string) => { cohort: string; label: string }> {
  const { question, calendar } = standing;
  if (dimension === undefined)
    return (cohort) => ({ cohort: calendar.dateOf(Number(cohort)), label: calendar.dateOf(Number(cohort)) });
  const ids = cohorts.map(({ cohort }) => cohort);
  const labels = dimension.isLink ? await linkNames(question, ids) : (dimension.labels ?? new Map<string, string>());
  return (cohort) => ({ cohort, label: cohort === "" ? "Unknown" : (labels.get(cohort) ?? cohort) });
}

async function answerRetention(own: AnalyticsDeps, request: AnalyzeRetentionRequest, handler: HandlerContext) {
  const interval = eitherOf(request.interval, request.period, "period") || CohortInterval.DAY;
  const standing = await standingOf(own, handler, { ...request, interval });
  const periods = request.periods ?? (interval === CohortInterval.DAY ? DEFAULT_DAYS : DEFAULT_PERIODS);
  return {
    ...(await readRetention(standing, periods)),
    interval,
    timezone: standing.zone,
    explanation: request.explain ? await telling(own, { request, standing, definition: "retention" }) : undefined,
  };
}

interface Told {
  request: AnalyzeCohortsRequest | AnalyzeRetentionRequest;
  standing: Standing;
  definition: string;
}

function telling(own: AnalyticsDeps, { request, standing, definition }: Told) {
  const { question, zone, end } = standing;
  return explain(question, {
    log: own.log,
    definition,
    startDate: request.startDate,
    endDate: timestampFromMs(end),
    timezone: zone,
    notes: ["Events without a device are nobody's and in no cohort.", ...notesOf(standing)],
  });
}

function notesOf({ end, whole }: Standing): string[] {
  return whole < end
    ? ["The log has entries that are not in the table yet: intervals since then are not complete."]
    : [];
}
