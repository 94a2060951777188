import type { HandlerContext } from "@connectrpc/connect";
import { type ListVisitorsRequest, ResponseFormat, SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { SearchVisitorsRequest } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, ask } from "../asking.ts";
import { decodeCursor } from "../cursor.ts";
import { isDeviceKey } from "../device-key.ts";
import { visitorsWithIncludes } from "../events/includes.ts";
import { visitorTable } from "../events/tables.ts";
import { csv, pagingOf } from "../paging.ts";
import { sizeOf } from "../rules.ts";
import { asOf, scopeOf } from "../scope.ts";
import { type Filter, readFilters } from "./filters.ts";
import { readVisitors, sortColumnOf } from "./visitors.ts";

/** Answers ListVisitors. */
export function listVisitors(own: AnalyticsDeps, request: ListVisitorsRequest, handler: HandlerContext) {
  return list(own, { request, filters: [] }, handler);
}

/** Answers SearchVisitors. Its pages are those of ListVisitors where it has no filters. */
export async function searchVisitors(own: AnalyticsDeps, request: SearchVisitorsRequest, handler: HandlerContext) {
  return list(own, { request, filters: readFilters(request.attributeFilters) }, handler);
}

interface Asked {
  request: Omit<ListVisitorsRequest, "$typeName" | "$unknown">;
  filters: readonly Filter[];
}

async function list(own: AnalyticsDeps, { request, filters }: Asked, handler: HandlerContext) {
  const { linkId, search, email } = request;
  const sort = sortColumnOf(request.sortField);
  const direction = request.sortDirection || SortDirection.DESC;
  const asked = [linkId, search, email, sort, direction, ...(filters.length === 0 ? [] : [filters])];
  const question = ["visitors", ...scopeOf(contextOf(handler)).asked, ...asked];
  const after = decodeCursor(question, request.pageToken || request.cursor, isDeviceKey);
  const asking = await ask(own, handler);
  const size = sizeOf(request.pageSize, { default: 50, most: 200 });
  const page = await readVisitors(asking, { linkId, search, email, filters, sort, direction, after, size });
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
