import type { HandlerContext } from "@connectrpc/connect";
import type { CohortInterval } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import { zoneOf } from "../aggregates/calendar.ts";
import type { AnalyticsDeps } from "../asking.ts";
import { completeness } from "../forecast/history.ts";
import { askNarrowed, type Narrowed, type NarrowedQuestion } from "../narrowing.ts";
import { firstMs, lastMs, scopeOf } from "../scope.ts";
import { type Calendar, calendarOf } from "./calendar.ts";

/** A question about visitors over calendar intervals. Times are milliseconds since 1970. */
export interface Standing {
  question: NarrowedQuestion;
  zone: string;
  interval: CohortInterval;
  calendar: Calendar;
  /** Visitors count who came first at or after this; undefined: all. */
  start: number | undefined;
  /** Events until then are looked at. */
  end: number;
  /** What is over at this time is complete: nothing before it still waits on the log. */
  whole: number;
}

/** What requests of this service have in common. */
export interface Asked extends Narrowed {
  timezone?: string | undefined;
  interval: CohortInterval;
}

/** The question of a request: events are narrowed by its end, never by its start, which is about first events. */
export async function standingOf(own: AnalyticsDeps, handler: HandlerContext, asked: Asked): Promise<Standing> {
  const { startDate, endDate, timezone, interval, ...narrow } = asked;
  zoneOf(timezone, "UTC");
  scopeOf(contextOf(handler), { startDate, endDate });
  const question = await askNarrowed(own, handler, { ...narrow, endDate });
  const zone = zoneOf(timezone, question.settings.timezone);
  const end = Math.min(question.now, endDate === undefined ? question.now : Number(lastMs(endDate)));
  const [first, { until }] = await Promise.all([
    firstEvent(question, end),
    completeness(question, own.log, question.now),
  ]);
  const start = startDate && Number(firstMs(startDate));
  const calendar = calendarOf(zone, interval, { start: Math.min(first, start ?? first), end });
  return { question, zone, interval, calendar, start, end, whole: Math.min(end, until) };
}

/** The time of the first event of the question, or its end when there is none. */
async function firstEvent({ duck, scope, signal }: NarrowedQuestion, end: number): Promise<number> {
  const sql = `SELECT min(scanned_at) AS first_at FROM touches WHERE ${scope.sql} AND scanned_at <= $until`;
  const [row] = await duck.rows(sql, { ...scope.params, until: BigInt(end) }, signal);
  return typeof row?.first_at === "bigint" ? Number(row.first_at) : end;
}

/** One of two names of the same parameter; refuses both with different values. */
export function eitherOf<T extends number>(one: T, other: T, field: string): T {
  if (one !== 0 && other !== 0 && one !== other) throw fail("INVALID_FIELD", { field, must: "must be given once" });
  return one === 0 ? other : one;
}

/** To two decimals. */
export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
