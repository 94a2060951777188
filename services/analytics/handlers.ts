import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import {
  type AnalyticsService,
  type EventLinkSchema,
  type EventSchema,
  type ListVisitorsRequest,
  ResponseFormat,
  SortDirection,
} from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Duck, Row } from "./duck.ts";
import { firstVisits, readEvents, sizeOf, toDevice, toEvent } from "./events.ts";
import { readMetrics, readTimeSeries } from "./metrics.ts";
import { decodeCursor, encodeCursor, toCsv } from "./rules.ts";
import { scopeOf } from "./scope.ts";
import { cursorOf, includesOf, latestEvents, linksOf, readVisitors, toVisitor } from "./visitors.ts";

/** What the handlers work with. `duck` opens at start, after the handlers are bound. */
export interface AnalyticsDeps {
  deps: ServiceDeps;
  duck: () => Duck;
  publicUrl: string;
}

const EVENT_COLUMNS = ["id", "link_id", "device_id", "country", "region", "city", "browser", "platform", "destination"];

/** Handlers of AnalyticsService. */
export function analyticsHandlers(own: AnalyticsDeps): ServiceImpl<typeof AnalyticsService> {
  return {
    async listEvents(request, handler) {
      const { principal } = contextOf(handler);
      const { linkId, visitorId, startDate, endDate, responseFormat } = request;
      const scope = scopeOf(principal, { linkId, visitorId, startDate, endDate });
      const size = sizeOf(request, { default: 100, most: 1_000 });
      const after = decodeCursor(scope, request.pageToken);
      const { rows, hasMore, total } = await readEvents(own.duck(), { scope, after, size });
      if (responseFormat === ResponseFormat.CSV) return { csv: csvOfEvents(rows) };
      const events = await withIncludes(own, { rows, handler, include: new Set(request.include) });
      const last = rows.at(-1);
      const cursor = last === undefined ? undefined : { key: Number(last.scanned_at), id: String(last.id) };
      const nextPageToken = hasMore && cursor !== undefined ? encodeCursor(scope, cursor) : "";
      return { json: { events, hasMore, nextPageToken, totalCount: total } };
    },

    listVisitors: (request, handler) => listVisitors(own, request, handler),

    async getEventMetrics({ startDate, endDate, linkId }, handler) {
      return readMetrics(own.duck(), scopeOf(contextOf(handler).principal, { startDate, endDate, linkId }));
    },

    async queryTimeSeries(request, handler) {
      const { startDate, endDate, linkId } = request;
      const scope = scopeOf(contextOf(handler).principal, { startDate, endDate, linkId });
      return { timeSeries: await readTimeSeries(own.duck(), { scope, request }) };
    },
  };
}

async function listVisitors(own: AnalyticsDeps, request: ListVisitorsRequest, handler: HandlerContext) {
  const { principal } = contextOf(handler);
  const format = request.responseFormat;
  const scope = scopeOf(principal, { linkId: request.linkId });
  const size = sizeOf(request, { default: 50, most: 200 });
  const sort = request.sortField ?? "createdAt";
  const direction = request.sortDirection || SortDirection.DESC;
  const question = { scope, search: request.search, sort, direction };
  const identity = [question, request.email];
  const after = decodeCursor(identity, request.pageToken);
  // Nobody is identified by address here, so an address matches nobody.
  const page =
    request.email === undefined
      ? await readVisitors(own.duck(), { ...question, after, size })
      : { rows: [], hasMore: false, total: 0n };
  if (format === ResponseFormat.CSV) return { csv: csvOfVisitors(page.rows) };
  const visitors = await visitorsWithIncludes(own, { rows: page.rows, handler, include: new Set(request.include) });
  const last = page.rows.at(-1);
  const nextPageToken = page.hasMore && last !== undefined ? encodeCursor(identity, cursorOf(last, sort)) : "";
  return { json: { visitors, hasMore: page.hasMore, nextPageToken, totalCount: page.total } };
}

interface Including {
  rows: readonly Row[];
  handler: HandlerContext;
  include: ReadonlySet<string>;
}

type EventInit = MessageInitShape<typeof EventSchema>;

async function withIncludes(own: AnalyticsDeps, given: Including): Promise<EventInit[]> {
  const { rows, handler, include } = given;
  const { principal } = contextOf(handler);
  const firsts = await firstVisits(own.duck(), { principal, rows });
  const links = include.has("link") ? await linkIncludes(own, given) : undefined;
  const workspace = include.has("workspace") ? await workspaceInclude(own, handler) : undefined;
  return rows.map((row) => {
    const event = toEvent(row, { firsts, publicUrl: own.publicUrl });
    return {
      ...event,
      device: include.has("device") && row.device_id !== null ? toDevice(row) : undefined,
      visitor: include.has("visitor") && event.visitorId !== undefined ? { id: event.visitorId } : undefined,
      link: links?.get(String(row.link_id)),
      workspace,
    };
  });
}

async function workspaceInclude(own: AnalyticsDeps, handler: HandlerContext) {
  const { workspace } = await own.deps.client(WorkspaceService).getWorkspace({}, forward(handler));
  return { id: workspace?.id ?? "", name: workspace?.name ?? "" };
}

type LinkInit = MessageInitShape<typeof EventLinkSchema>;

/** Links by id. One that was deleted keeps the id, so that its events still say where they belong. */
async function linkIncludes(
  own: AnalyticsDeps,
  given: Pick<Including, "rows" | "handler">,
): Promise<Map<string, LinkInit>> {
  const codeIds = [...new Set(given.rows.map((row) => String(row.link_id)))];
  const { targets } = await own.deps.client(DirectoryService).getTargets({ codeIds }, forward(given.handler));
  const known = new Map(targets.map((target) => [target.codeId, target]));
  const linkOf = (id: string): LinkInit => {
    const target = known.get(id);
    const shortlink = target?.shortId ?? "";
    const entrypoint = shortlink === "" ? "" : `${own.publicUrl}/s/${shortlink}`;
    return { id, name: target?.name ?? "", shortlink, entrypoint, destination: target?.destination || undefined };
  };
  return new Map(codeIds.map((id) => [id, linkOf(id)]));
}

async function visitorsWithIncludes(own: AnalyticsDeps, given: Including) {
  const { rows, handler, include } = given;
  if (include.size === 0) return rows.map(toVisitor);
  const scope = scopeOf(contextOf(handler).principal);
  const devices = rows.map((row) => String(row.device_id));
  const latest = await latestEvents(own.duck(), { scope, devices });
  const all = [...latest.values()].flatMap(linksOf);
  const links = include.has("links") ? await linkIncludes(own, { rows: all, handler }) : undefined;
  return rows.map((row) => {
    const mine = latest.get(String(row.device_id)) ?? [];
    const met =
      links === undefined ? [] : linksOf(mine).map((link) => visitedLink(link, links.get(String(link.link_id))));
    return { ...toVisitor(row), ...includesOf(mine, include), links: met };
  });
}

function visitedLink(row: Row, link: LinkInit | undefined): LinkInit {
  return {
    ...link,
    eventCount: BigInt(String(row.link_events)),
    firstVisitedAt: timestampFromMs(Number(row.link_first)),
    lastVisitedAt: timestampFromMs(Number(row.link_last)),
  };
}

const iso = (value: unknown): string => new Date(Number(value)).toISOString();
const text = (value: unknown): string | null => (value === null || value === undefined ? null : String(value));

function csvOfEvents(rows: readonly Row[]) {
  const body = rows.map((row) => [iso(row.scanned_at), ...EVENT_COLUMNS.map((column) => text(row[column]))]);
  return { contentType: "text/csv", csvData: toCsv(["scanned_at", ...EVENT_COLUMNS], body) };
}

function csvOfVisitors(rows: readonly Row[]) {
  const header = ["id", "visit_count", "qrcode_count", "created_at", "updated_at"];
  const body = rows.map((row) => [
    toVisitor(row).id,
    text(row.visits),
    text(row.links),
    iso(row.first_at),
    iso(row.last_at),
  ]);
  return { contentType: "text/csv", csvData: toCsv(header, body) };
}
