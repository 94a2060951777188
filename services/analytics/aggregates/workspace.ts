import type { HandlerContext } from "@connectrpc/connect";
import { OrganizationService } from "#gen/waymark/access/v1/organizations_pb.ts";
import { CalendarInterval, type ListEventDaysRequest } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { LinkService } from "#gen/waymark/codes/v1/links_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import type { AnalyticsDeps, Asking } from "../asking.ts";
import { count32 } from "../rules.ts";
import { bordersOf } from "./calendar.ts";
import { lay, plus } from "./range.ts";

/** Totals of the workspace; `monthStart`: when its month began. */
export async function readWorkspace(
  own: AnalyticsDeps,
  asking: Asking,
  given: { monthStart: number; handler: HandlerContext },
) {
  const { duck, scope, signal } = asking;
  const { workspace } = contextOf(given.handler).principal;
  const options = forward(given.handler);
  const sql = `SELECT count(*) AS n, count(*) FILTER (scanned_at >= $month) AS monthly FROM events WHERE ${scope.sql}`;
  const [[row = {}], { totalCount }, { members }] = await Promise.all([
    duck.rows(sql, plus(asking, { month: BigInt(given.monthStart) }), signal),
    own.client(LinkService).listLinks({ pageSize: 1 }, options),
    own.client(OrganizationService).listMembers({ id: workspace }, options),
  ]);
  return {
    totalEvents: count32(Number(row.n ?? 0)),
    totalMonthlyEvents: count32(Number(row.monthly ?? 0)),
    totalLinks: count32(Number(totalCount)),
    totalMembers: members.length,
  };
}

/** When the month of a moment began in a zone. */
export function monthStartOf(now: number, zone: string): number {
  return bordersOf({ start: now, end: now, interval: CalendarInterval.MONTH, zone })[0] ?? now;
}

/** Where the days of a month begin in a zone, and where the next month does. */
export function daysOf(
  { month }: Pick<ListEventDaysRequest, "month">,
  zone: string,
): { starts: number[]; end: number } {
  const first = Temporal.PlainDate.from(`${month}-01`);
  const at = (days: number) => first.add({ days }).toZonedDateTime({ timeZone: zone }).epochMilliseconds;
  return { starts: Array.from({ length: first.daysInMonth }, (_, day) => at(day)), end: at(first.daysInMonth) };
}

/** Days that have events. `asking` covers the month. */
export async function readDays(asking: Asking, starts: number[]): Promise<number[]> {
  const { duck, scope, signal } = asking;
  const { slot, join, params } = lay({ starts, lengthMs: undefined });
  const sql = `SELECT DISTINCT b.idx FROM (SELECT DISTINCT ${slot} AS slot FROM events WHERE ${scope.sql}) g ${join}`;
  const rows = await duck.rows(sql, plus(asking, params), signal);
  return rows.map((row) => Number(row.idx) + 1).sort((a, b) => a - b);
}
