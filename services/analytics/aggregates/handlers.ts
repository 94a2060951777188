import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AggregateService,
  GroupByDimension,
  type ListEventDaysRequest,
  type QueryBreakdownRequest,
  type QueryCampaignsRequest,
  type QueryComparisonRequest,
  type QueryGeoRequest,
  type QueryGroupedSeriesRequest,
  type QueryQualityRequest,
  type QueryTopLinksRequest,
  type QueryVisitorTrendRequest,
} from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import type { AnalyticsDeps } from "../asking.ts";
import { explain } from "../explain.ts";
import { count32 } from "../rules.ts";
import { type Asked, always, askFor, type Filters, lastDays, type RangeOf } from "./asked.ts";
import { readCampaigns } from "./campaigns.ts";
import { readComparison } from "./compare.ts";
import { dimensionNamed } from "./dimensions.ts";
import { readFunnel } from "./funnel.ts";
import { readHours } from "./hours.ts";
import { readTopLinks } from "./links.ts";
import { readMembers, shareOf } from "./members.ts";
import { type Period, periodsOf } from "./periods.ts";
import { readQuality, readRejected } from "./quality.ts";
import { cut, msOf } from "./range.ts";
import { readSeries } from "./series.ts";
import { readTrend } from "./trend.ts";
import { daysOf, monthStartOf, readDays, readWorkspace } from "./workspace.ts";

/** How a kind of question is answered. */
interface Answering<Q, R> {
  /** Heading of docs/analytics.md. */
  definition: string;
  /** Where the request leaves it open. */
  range: RangeOf<Q>;
  /** Looks at the request before anything is asked, and says how to answer it. */
  plan: (request: Q, handler: HandlerContext) => (asked: Asked) => Promise<R>;
  /** What its explanation adds, in sentences. */
  notes?: (request: Q, asked: Asked) => string[];
}

/** One whose request needs no look beforehand. */
interface Simply<Q, R> {
  definition: string;
  read: (asked: Asked, request: Q, handler: HandlerContext) => Promise<R>;
}

type Answer<Q, R> = (request: Q, handler: HandlerContext) => Promise<R & { explanation?: Explained }>;
type Explained = Awaited<ReturnType<typeof explain>>;

const OF_TAGS = "An event counts for each tag that its link has now, so members add up to more than all events.";
const OF_NEW = "Visitors whose earlier events are not shown any more count as new.";
const OF_PAST = "It is compared with times that are not shown any more, in which there seems to be nothing.";

const SERIES = {
  definition: "time-series",
  range: lastDays(30),
  plan: planSeries,
  notes: ({ groupBy }: QueryGroupedSeriesRequest) => (groupBy === GroupByDimension.TAG ? [OF_TAGS] : []),
};
const TREND = {
  definition: "new-and-returning-visitors",
  range: lastDays(30),
  plan: planTrend,
  notes: (_request: QueryVisitorTrendRequest, { floor }: Asked) => (floor === undefined ? [] : [OF_NEW]),
};
const BREAKDOWN = {
  definition: "breakdown",
  range: always,
  plan: planBreakdown,
  notes: (request: QueryBreakdownRequest) => (dimensionIn(request) === GroupByDimension.TAG ? [OF_TAGS] : []),
};
const GEO = { definition: "breakdown", range: always, plan: planGeo };
const DAYS = {
  definition: "totals-of-the-workspace",
  range: monthOf,
  plan: (request: ListEventDaysRequest) => async (asked: Asked) => ({
    days: await readDays(asked, daysOf(request, asked.zone).starts),
  }),
};

/** Handlers of AggregateService. */
export function aggregateHandlers(own: AnalyticsDeps): ServiceImpl<typeof AggregateService> {
  const simply = <Q extends Filters, R extends object>({ definition, read }: Simply<Q, R>): Answer<Q, R> => {
    const plan: Answering<Q, R>["plan"] = (request, handler) => (asked) => read(asked, request, handler);
    return answerer<Q, R>(own, { definition, range: always, plan });
  };
  const comparison = { definition: "comparison", range: upToNow, plan: planComparison, notes: notesOfComparison };
  return {
    queryGroupedSeries: answerer(own, SERIES),
    queryVisitorTrend: answerer(own, TREND),
    queryBreakdown: answerer(own, BREAKDOWN),
    queryGeo: answerer(own, GEO),
    queryDevices: simply({ definition: "breakdown", read: readDevices }),
    queryHours: simply({ definition: "hours-of-the-day", read: readHours }),
    queryTopLinks: simply({
      definition: "top-links",
      read: (asked, { limit = 10 }: QueryTopLinksRequest) => readTopLinks(asked, limit),
    }),
    queryFunnel: simply({ definition: "funnel-of-a-link", read: readFunnel }),
    queryCampaigns: simply({
      definition: "campaigns",
      read: (asked, { limit = 100 }: QueryCampaignsRequest) => readCampaigns(asked, limit),
    }),
    queryQuality: simply({
      definition: "quality",
      read: (asked, request: QueryQualityRequest, handler) => answerQuality(own, { asked, request, handler }),
    }),
    queryComparison: answerer(own, comparison),
    getWorkspaceMetrics: simply({
      definition: "totals-of-the-workspace",
      read: (asked, _request, handler) =>
        readWorkspace(own, asked, { monthStart: monthStartOf(asked.now, asked.zone), handler }),
    }),
    listEventDays: answerer(own, DAYS),
  };
}

/** Answers a question, with its explanation where that was asked for. */
function answerer<Q extends Filters, R extends object>(
  own: AnalyticsDeps,
  { definition, range, plan, notes }: Answering<Q, R>,
): Answer<Q, R> {
  return async (request, handler) => {
    const read = plan(request, handler);
    const asked = await askFor(own, handler, { request, range });
    const { startDate, endDate, zone: timezone } = asked;
    const telling = { definition, startDate, endDate, timezone, notes: notes?.(request, asked) ?? [] };
    const [reply, explanation] = await Promise.all([
      read(asked),
      request.explain ? explain(asked, { ...telling, log: own.log }) : undefined,
    ]);
    return explanation === undefined ? reply : { ...reply, explanation };
  };
}

function planSeries(request: QueryGroupedSeriesRequest) {
  const { groupBy, limit = 5, includeOther } = request;
  return (asked: Asked) => readSeries(asked, { intervals: cut(request, asked), groupBy, limit, includeOther });
}

function planTrend(request: QueryVisitorTrendRequest) {
  return (asked: Asked) => readTrend(asked, cut(request, asked));
}

function dimensionIn({ dimension }: { dimension: string }): GroupByDimension {
  return dimensionNamed(dimension, { field: "dimension", absent: GroupByDimension.COUNTRY });
}

function planBreakdown(request: QueryBreakdownRequest) {
  const dimension = dimensionIn(request);
  const { limit = 10 } = request;
  return async (asked: Asked) => {
    const { members, total } = await readMembers(asked, { dimension, limit });
    const data = members.map((member) => ({
      ...{ code: member.code, label: member.label, ...shareOf(member, total) },
      uniqueVisitors: count32(member.uniques),
    }));
    return { data, total: count32(total) };
  };
}

const PLACES = [GroupByDimension.COUNTRY, GroupByDimension.REGION, GroupByDimension.CITY];

function planGeo({ groupBy, limit = 10 }: QueryGeoRequest) {
  const dimension = dimensionNamed(groupBy, { field: "group_by", absent: GroupByDimension.COUNTRY, among: PLACES });
  return async (asked: Asked) => {
    const { members, total } = await readMembers(asked, { dimension, limit, isEventsOnly: true });
    const data = members.map((member) => ({ location: member.label, ...shareOf(member, total) }));
    return { data, totalEvents: count32(total) };
  };
}

async function readDevices(asked: Asked) {
  const wanted = { dimension: GroupByDimension.DEVICE_TYPE, limit: 10, isEventsOnly: true };
  const { members, total } = await readMembers(asked, wanted);
  const data = members.map((member) => ({ deviceType: member.code, ...shareOf(member, total) }));
  return { data, totalEvents: count32(total) };
}

/** Refused scans have no link: they are told where the question is not narrowed. */
async function answerQuality(
  own: AnalyticsDeps,
  { asked, request, handler }: { asked: Asked; request: QueryQualityRequest; handler: HandlerContext },
) {
  const isWhole = !request.linkId && request.tag === undefined;
  const [quality, rejected] = await Promise.all([
    readQuality(asked, request.limit ?? 100),
    isWhole ? readRejected(own, asked, handler) : undefined,
  ]);
  return { ...quality, rejected };
}

const COMPARED_DAYS = lastDays(7);

/** What of the period is over. */
const upToNow: RangeOf = (request, given) => {
  const { startDate, endDate } = COMPARED_DAYS(request, given);
  const [start, end] = [msOf(startDate), msOf(endDate)];
  return { startDate, endDate: end <= given.now ? endDate : timestampFromMs(Math.max(start, given.now)) };
};

function periodsIn(request: QueryComparisonRequest, asked: Pick<Asked, "zone" | "now">) {
  const { startDate, endDate } = COMPARED_DAYS(request, asked);
  const { against, weeks = 4 } = request;
  return periodsOf({ start: msOf(startDate), end: msOf(endDate), against, weeks, ...asked });
}

function planComparison(request: QueryComparisonRequest) {
  const { limit = 10 } = request;
  const dimension = request.dimension === "" ? undefined : dimensionIn(request);
  return async (asked: Asked) => {
    const { zone, now } = asked;
    const { current, previous } = periodsIn(request, { zone, now });
    const compared = await readComparison(asked, { periods: [current, ...previous], dimension, limit });
    return { ...compared, period: shown(current), previousPeriods: previous.map(shown), timezone: zone };
  };
}

function notesOfComparison(request: QueryComparisonRequest, { zone, now, floor }: Asked): string[] {
  const { previous } = periodsIn(request, { zone, now });
  if (floor === undefined || previous.every(({ start }) => start >= floor.at)) return [];
  return [OF_PAST];
}

function shown({ start, end }: Period) {
  return { startDate: timestampFromMs(start), endDate: timestampFromMs(end) };
}

function monthOf(request: ListEventDaysRequest, { zone }: { zone: string }) {
  const { starts, end } = daysOf(request, zone);
  return { startDate: timestampFromMs(starts[0] ?? end), endDate: timestampFromMs(end - 1) };
}
