import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AnalyticsService,
  type ListEventsRequest,
  type ListVisitorsRequest,
  ResponseFormat,
  SortDirection,
} from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { rangeOf, readMetrics, readTimeSeries } from "./aggregates/metrics.ts";
import { type AnalyticsDeps, ask } from "./asking.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { isDeviceKey } from "./device-key.ts";
import { findEvent, type Page, readEvents } from "./events/events.ts";
import { visitorsWithIncludes, withIncludes } from "./events/includes.ts";
import { toEvent } from "./events/messages.ts";
import { eventTable, visitorTable } from "./events/tables.ts";
import { explain } from "./explain.ts";
import { fail } from "./reasons.ts";
import { sizeOf } from "./rules.ts";
import { asOf, scopeOf } from "./scope.ts";
import { averageScoreOf } from "./scoring/includes.ts";
import { readVisitors, sortColumnOf } from "./visitors/visitors.ts";

/** Handlers of AnalyticsService. */
export function analyticsHandlers(own: AnalyticsDeps): ServiceImpl<typeof AnalyticsService> {
  return {
    listEvents: (request, handler) => listEvents(own, request, handler),
    listVisitors: (request, handler) => listVisitors(own, request, handler),
    listEventTraces: async ({ eventId }, handler) => {
      const row = await findEvent(await ask(own, handler), eventId);
      if (row === undefined) throw fail("EVENT_NOT_FOUND", { eventId });
      return { traces: toEvent(row, { firsts: new Set(), publicUrl: own.publicUrl }).traces };
    },
    getEventMetrics: async ({ startDate, endDate, linkId, tag, explain: isAsked }, handler) => {
      const question = await ask(own, handler, { startDate, endDate, linkId, tag });
      const telling = { definition: "totals-and-tops", startDate, endDate, log: own.log };
      const [metrics, explanation] = await Promise.all([
        readMetrics(question),
        isAsked ? explain(question, telling) : undefined,
      ]);
      const averageLeadScore = await averageScoreOf(own, handler, { question, events: metrics.totalEvents });
      return { ...metrics, averageLeadScore, explanation };
    },
    queryTimeSeries: async (request, handler) => {
      const { startDate, endDate, linkId, tag } = request;
      const range = rangeOf(request);
      const question = await ask(own, handler, { startDate, endDate, linkId, tag });
      const telling = { definition: "time-series", startDate, endDate, log: own.log };
      const [timeSeries, explanation] = await Promise.all([
        readTimeSeries(question, range),
        request.explain ? explain(question, telling) : undefined,
      ]);
      return { timeSeries, explanation };
    },
  };
}

async function listEvents(own: AnalyticsDeps, request: ListEventsRequest, handler: HandlerContext) {
  const { linkId, visitorId, startDate, endDate } = request;
  const narrow = { linkId, visitorId, startDate, endDate };
  const question = ["events", ...scopeOf(contextOf(handler), narrow).asked];
  const after = decodeCursor(question, request.pageToken || request.cursor);
  const asking = await ask(own, handler, narrow);
  const page = await readEvents(asking, { after, size: sizeOf(request.pageSize, { default: 100, most: 1_000 }) });
  const all = { ...asking, scope: asOf((await ask(own, handler)).scope, page.upTo) };
  const isCsv = request.responseFormat === ResponseFormat.CSV;
  const include = new Set(isCsv ? [] : request.include);
  const events = await withIncludes({ ...own, handler }, all, { rows: page.rows, include });
  const last = page.rows.at(-1);
  const end = last && { key: Number(last.scanned_at), id: String(last.id) };
  const paging = pagingOf(page, question, end);
  if (isCsv) return csv(eventTable(page.rows, events), paging);
  return { json: { events, ...paging } };
}

async function listVisitors(own: AnalyticsDeps, request: ListVisitorsRequest, handler: HandlerContext) {
  const { linkId, search, email } = request;
  const sort = sortColumnOf(request.sortField);
  const direction = request.sortDirection || SortDirection.DESC;
  const question = ["visitors", ...scopeOf(contextOf(handler)).asked, linkId, search, email, sort, direction];
  const after = decodeCursor(question, request.pageToken || request.cursor, isDeviceKey);
  const asking = await ask(own, handler);
  const size = sizeOf(request.pageSize, { default: 50, most: 200 });
  const page = await readVisitors(asking, { linkId, search, email, sort, direction, after, size });
  const all = { ...asking, scope: asOf(asking.scope, page.upTo) };
  const isCsv = request.responseFormat === ResponseFormat.CSV;
  const include = new Set(isCsv ? [] : request.include);
  const visitors = await visitorsWithIncludes({ ...own, handler }, all, { rows: page.rows, include });
  const last = page.rows.at(-1);
  const end = last && { key: Number(last[sort]), id: String(last.visitor_key) };
  const paging = pagingOf(page, question, end);
  if (isCsv) return csv(visitorTable(visitors), paging);
  return { json: { visitors, ...paging } };
}

/** What a page says of the list: `end` is where it ends. */
function pagingOf(page: Page, question: unknown, end: { key: number; id: string } | undefined) {
  const { hasMore, total, upTo } = page;
  const nextPageToken = hasMore && end !== undefined ? encodeCursor(question, { ...end, upTo, total }) : "";
  return { hasMore, nextPageToken, totalCount: BigInt(total) };
}

function csv(csvData: string, paging: ReturnType<typeof pagingOf>) {
  return { csv: { contentType: "text/csv", csvData, ...paging } };
}
