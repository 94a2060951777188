import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AnalyticsService,
  type ListEventsRequest,
  type ListVisitorsRequest,
  ResponseFormat,
  SortDirection,
} from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { isDeviceKey } from "./device-key.ts";
import type { Duck } from "./duck.ts";
import { type Asking, type Page, readEvents } from "./events.ts";
import type { Gate } from "./gate.ts";
import { visitorsWithIncludes, withIncludes } from "./includes.ts";
import { rangeOf, readMetrics, readTimeSeries } from "./metrics.ts";
import { sizeOf } from "./rules.ts";
import { asOf, type Scope, scopeOf } from "./scope.ts";
import { eventTable, visitorTable } from "./tables.ts";
import { readVisitors, sortColumnOf } from "./visitors.ts";

/** What the handlers work with. The engine opens at start, after the handlers are bound. */
export interface AnalyticsDeps {
  client: ServiceDeps["client"];
  engine: Gate<Duck>;
  publicUrl: string;
}

/** Handlers of AnalyticsService. */
export function analyticsHandlers(own: AnalyticsDeps): ServiceImpl<typeof AnalyticsService> {
  return {
    listEvents: (request, handler) => listEvents(own, request, handler),
    listVisitors: (request, handler) => listVisitors(own, request, handler),
    async getEventMetrics({ startDate, endDate, linkId }, handler) {
      const scope = scopeOf(contextOf(handler), { startDate, endDate, linkId });
      return readMetrics(await ask(own, handler, scope));
    },
    async queryTimeSeries(request, handler) {
      const { startDate, endDate, linkId } = request;
      const scope = scopeOf(contextOf(handler), { startDate, endDate, linkId });
      const range = rangeOf(request);
      return { timeSeries: await readTimeSeries(await ask(own, handler, scope), range) };
    },
  };
}

/** Where to ask, once the engine is ready. */
async function ask(own: AnalyticsDeps, handler: HandlerContext, scope: Scope): Promise<Asking> {
  return { scope, duck: await own.engine.pass(handler.signal), signal: handler.signal };
}

async function listEvents(own: AnalyticsDeps, request: ListEventsRequest, handler: HandlerContext) {
  const { linkId, visitorId, startDate, endDate } = request;
  const scope = scopeOf(contextOf(handler), { linkId, visitorId, startDate, endDate });
  const question = ["events", ...scope.asked];
  const after = decodeCursor(question, request.pageToken);
  const asking = await ask(own, handler, scope);
  const page = await readEvents(asking, { after, size: sizeOf(request.pageSize, { default: 100, most: 1_000 }) });
  const all = { ...asking, scope: asOf(scopeOf(contextOf(handler)), page.upTo) };
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
  const scope = scopeOf(contextOf(handler));
  const sort = sortColumnOf(request.sortField);
  const direction = request.sortDirection || SortDirection.DESC;
  const question = ["visitors", ...scope.asked, linkId, search, email, sort, direction];
  const after = decodeCursor(question, request.pageToken, isDeviceKey);
  const asking = await ask(own, handler, scope);
  const size = sizeOf(request.pageSize, { default: 50, most: 200 });
  // Nobody has told an address yet, so an address is nobody's.
  const page =
    email === undefined
      ? await readVisitors(asking, { linkId, search, sort, direction, after, size })
      : { rows: [], hasMore: false, total: 0, upTo: 0 };
  const all = { ...asking, scope: asOf(scope, page.upTo) };
  const isCsv = request.responseFormat === ResponseFormat.CSV;
  const include = new Set(isCsv ? [] : request.include);
  const visitors = await visitorsWithIncludes({ ...own, handler }, all, { rows: page.rows, include });
  const last = page.rows.at(-1);
  const end = last && { key: Number(last[sort]), id: String(last.device_key) };
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
