import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type AggregateService, GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, ask, type Question } from "../asking.ts";
import { explain, type Telling } from "../explain.ts";
import { count32 } from "../rules.ts";
import { zoneOf } from "./calendar.ts";
import { periodsOf, readComparedMembers, readComparison } from "./compare.ts";
import { dimensionNamed, UNKNOWN } from "./dimensions.ts";
import { readFunnel } from "./funnel.ts";
import { readHours } from "./hours.ts";
import { readCampaigns, readTopLinks } from "./links.ts";
import { type Members, readMembers } from "./members.ts";
import { readQuality, readRejected } from "./quality.ts";
import { cut, percentOf, withRange } from "./range.ts";
import { readSeries } from "./series.ts";
import { readTrend } from "./trend.ts";
import { daysOf, monthStartOf, readDays, readWorkspace } from "./workspace.ts";

/** Handlers of AggregateService. */
export function aggregateHandlers(own: AnalyticsDeps): ServiceImpl<typeof AggregateService> {
  const asked = { own };
  return {
    queryGroupedSeries: async (request, handler) => {
      const narrow = { ...narrowOf(request), ...withRange(request, contextOf(handler).now()) };
      zoneOf(request.timezone, "UTC");
      const question = await ask(own, handler, narrow);
      const intervals = cut(request, { ...narrow, timezone: question.settings.timezone });
      const { groupBy, limit = 5, includeOther } = request;
      const { scope } = await ask(own, handler, narrowOf(request));
      const reply = await readSeries(question, { intervals, groupBy, limit, includeOther, seen: scope.sql });
      return told(asked, { question, request, reply, telling: { definition: "time-series", ...narrow } });
    },
    queryBreakdown: async (request, handler) => {
      const dimension = dimensionNamed(request.dimension, { field: "dimension", absent: GroupByDimension.COUNTRY });
      const question = await ask(own, handler, rangeOf(request));
      const { limit = 10 } = request;
      const all = await readMembers(question, { dimension, limit, seen: await seenBy(own, handler), uniques: true });
      return told(asked, { question, request, reply: breakdownOf(all), telling: { definition: "breakdown" } });
    },
    queryGeo: async (request, handler) => {
      const places: GroupByDimension[] = [GroupByDimension.COUNTRY, GroupByDimension.CITY, GroupByDimension.REGION];
      const named = dimensionNamed(request.groupBy, { field: "group_by", absent: GroupByDimension.COUNTRY });
      const dimension = places.includes(named) ? named : dimensionNamed("?", { field: "group_by", absent: named });
      const question = await ask(own, handler, rangeOf(request));
      const { limit = 10 } = request;
      const { members, total } = await readMembers(question, { dimension, limit, seen: "true", uniques: false });
      const data = members.map(({ label, events }) => ({ location: label, ...shareOf(events, total) }));
      return told(asked, {
        question,
        request,
        reply: { data, totalEvents: count32(total) },
        telling: { definition: "breakdown" },
      });
    },
    queryDevices: async (request, handler) => {
      const question = await ask(own, handler, rangeOf(request));
      const wanted = { dimension: GroupByDimension.DEVICE_TYPE, limit: 10, seen: "true", uniques: false };
      const { members, total } = await readMembers(question, wanted);
      const data = members.map(({ code, events }) => ({ deviceType: code, ...shareOf(events, total) }));
      return told(asked, {
        question,
        request,
        reply: { data, totalEvents: count32(total) },
        telling: { definition: "breakdown" },
      });
    },
    queryHours: async (request, handler) => {
      zoneOf(request.timezone, "UTC");
      const question = await ask(own, handler, rangeOf(request));
      const timezone = zoneOf(request.timezone, question.settings.timezone);
      const reply = await readHours(question, timezone);
      return told(asked, { question, request, reply, telling: { definition: "hours-of-the-day", timezone } });
    },
    queryVisitorTrend: async (request, handler) => {
      const narrow = { ...narrowOf(request), ...withRange(request, contextOf(handler).now()) };
      zoneOf(request.timezone, "UTC");
      const question = await ask(own, handler, narrow);
      const intervals = cut(request, { ...narrow, timezone: question.settings.timezone });
      const { scope: all } = await ask(own, handler, narrowOf(request));
      const reply = await readTrend(question, { intervals, all });
      return told(asked, {
        question,
        request,
        reply,
        telling: { definition: "new-and-returning-visitors", ...narrow },
      });
    },
    queryTopLinks: async (request, handler) => {
      const question = await ask(own, handler, rangeOf(request));
      const reply = await readTopLinks(question, request.limit ?? 10);
      return told(asked, { question, request, reply, telling: { definition: "top-links" } });
    },
    queryFunnel: async (request, handler) => {
      const question = await ask(own, handler, rangeOf(request));
      const reply = await readFunnel(question);
      return told(asked, { question, request, reply, telling: { definition: "funnel-of-a-link" } });
    },
    queryCampaigns: async (request, handler) => {
      const question = await ask(own, handler, rangeOf(request));
      const reply = await readCampaigns(question, { limit: request.limit ?? 100, seen: await seenBy(own, handler) });
      return told(asked, { question, request, reply, telling: { definition: "campaigns" } });
    },
    queryQuality: async (request, handler) => {
      const question = await ask(own, handler, rangeOf(request));
      const isWhole = request.linkId === undefined && request.tag === undefined;
      const [quality, rejected] = await Promise.all([
        readQuality(question, request.limit ?? 100),
        isWhole ? readRejected(own, request, handler) : undefined,
      ]);
      return told(asked, { question, request, reply: { ...quality, rejected }, telling: { definition: "quality" } });
    },
    queryComparison: async (request, handler) => compare(own, request, handler),
    getWorkspaceMetrics: async (request, handler) => {
      const question = await ask(own, handler);
      const monthStart = monthStartOf(contextOf(handler).now(), question.settings.timezone);
      const reply = await readWorkspace(own, question, { monthStart, handler });
      return told(asked, { question, request, reply, telling: { definition: "totals-of-the-workspace" } });
    },
    listEventDays: async (request, handler) => {
      zoneOf(request.timezone, "UTC");
      const { settings } = await ask(own, handler);
      const { starts, end } = daysOf(request, zoneOf(request.timezone, settings.timezone));
      const range = { startDate: timestampFromMs(starts[0] ?? end), endDate: timestampFromMs(end - 1) };
      return { days: await readDays(await ask(own, handler, { linkId: request.linkId, ...range }), starts) };
    },
  };
}

type Narrow = Pick<Parameters<typeof ask>[2] & object, "linkId" | "tag" | "startDate" | "endDate">;

function narrowOf({ linkId, tag }: Narrow) {
  return { linkId: linkId || undefined, tag };
}

function rangeOf({ startDate, endDate, ...rest }: Narrow) {
  return { ...narrowOf(rest), startDate, endDate };
}

/** The condition of all that the caller sees: its values are those of every narrower question. */
async function seenBy(own: AnalyticsDeps, handler: HandlerContext): Promise<string> {
  return (await ask(own, handler)).scope.sql;
}

function shareOf(events: number, total: number) {
  return { eventCount: count32(events), percentage: percentOf(events, total) };
}

function breakdownOf({ members, total }: Members) {
  const data = members.map(({ code, label, events, uniques }) => ({
    ...{ code, label: label || UNKNOWN },
    ...shareOf(events, total),
    uniqueVisitors: count32(uniques),
  }));
  return { data, total: count32(total) };
}

interface Answered<R> {
  question: Question;
  request: Narrow & { explain: boolean };
  reply: R;
  telling: Telling;
}

/** A reply with its explanation, where that was asked for. */
async function told<R extends object>(
  { own }: { own: AnalyticsDeps },
  { question, request, reply, telling }: Answered<R>,
) {
  if (!request.explain) return reply;
  const { startDate, endDate } = request;
  return { ...reply, explanation: await explain(question, { startDate, endDate, ...telling, log: own.log }) };
}

async function compare(
  own: AnalyticsDeps,
  request: Parameters<ServiceImpl<typeof AggregateService>["queryComparison"]>[0],
  handler: HandlerContext,
) {
  const { current, base } = periodsOf(request, contextOf(handler).now());
  const question = await ask(own, handler, narrowOf(request));
  const periods = [current, ...base];
  const [numbers, members] = await Promise.all([
    readComparison(question, periods),
    request.dimension === ""
      ? []
      : readComparedMembers(question, { periods, dimension: request.dimension, limit: request.limit ?? 10 }),
  ]);
  const period = ({ start, end }: { start: number; end: number }) => ({
    startDate: timestampFromMs(start),
    endDate: timestampFromMs(end),
  });
  const reply = { current: period(current), base: base.map(period), ...numbers, members };
  return told({ own }, { question, request, reply, telling: { definition: "comparison" } });
}
