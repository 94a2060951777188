import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AnalyticsService,
  type ListEventsRequest,
  ResponseFormat,
} from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { rangeOf, readMetrics, readTimeSeries } from "./aggregates/metrics.ts";
import { type AnalyticsDeps, ask } from "./asking.ts";
import { decodeCursor } from "./cursor.ts";
import { findEvent, readEvents } from "./events/events.ts";
import { withIncludes } from "./events/includes.ts";
import { toEvent } from "./events/messages.ts";
import { eventTable } from "./events/tables.ts";
import { explain } from "./explain.ts";
import { csv, pagingOf } from "./paging.ts";
import { fail } from "./reasons.ts";
import { sizeOf } from "./rules.ts";
import { asOf, scopeOf } from "./scope.ts";
import { averageScoreOf } from "./scoring/includes.ts";
import { listVisitors } from "./visitors/listing.ts";

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
