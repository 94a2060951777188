import type { AnalyticsDeps, Asking } from "../asking.ts";
import type { Params } from "../engine/query.ts";
import { FEED_SUBJECTS } from "../feed/changes.ts";
import { readWatermark } from "../feed/watermark.ts";
import { DAY_MS } from "../rules.ts";
import type { Scope } from "../scope.ts";
import { HOUR_MS, localOf, localSql, offsetsOf } from "./zone.ts";

/** The most days that are looked at. */
export const MOST_DAYS = 730;

/** Until when the table has all that arrived. */
export interface Complete {
  /** Milliseconds since 1970; never after `now`. */
  until: number;
  /** All up to this position of the log is in the table. */
  position: number;
}

/**
 * Until when the table is complete: when the first entry of the log that it does not have yet was appended, and now where
 * it has all. Not the clock alone: what waits on the log would make the last day look quiet.
 */
export async function completeness(
  { duck }: Pick<Asking, "duck">,
  log: AnalyticsDeps["log"],
  now: number,
): Promise<Complete> {
  const { position } = await readWatermark(duck);
  if ((await log.head()) <= position) return { until: now, position };
  for await (const [next] of log.read({ after: position, subjects: FEED_SUBJECTS, chunk: 1 }))
    return { until: Math.min(now, next?.appendedAt ?? now), position };
  return { until: now, position };
}

/** What is counted a day. */
export type Metric = "EVENTS" | "UNIQUE_VISITORS";

const COUNTS: Readonly<Record<Metric, { of: string; from: string }>> = {
  EVENTS: { of: "count(*)", from: "events" },
  UNIQUE_VISITORS: { of: "count(DISTINCT visitor_key)", from: "touches" },
};

/** Complete days in a row. */
export interface History {
  /** The first day, counted from 1970. */
  firstDay: number;
  /** The last complete day; before the first when there is none. */
  lastDay: number;
  /** Counts of each day, days without events too. */
  values: number[];
}

/** Reads the daily counts in a zone up to the last day that is complete at `until`, at most 730 of them. */
export async function readHistory(
  { duck, scope, signal }: Asking,
  { zone, until, metric }: { zone: string; until: number; metric: Metric },
): Promise<History> {
  const from = Math.max(until - (MOST_DAYS + 1) * DAY_MS, floorOf(scope));
  const offsets = offsetsOf(zone, { start: from, end: until });
  const lastDay = Math.floor(localOf(offsets, until) / DAY_MS) - 1;
  const local = localSql(offsets);
  const { of, from: table } = COUNTS[metric];
  const sql = `SELECT ${local.sql} // ${DAY_MS} AS day, ${of} AS n FROM ${table}
    WHERE ${scope.sql} AND scanned_at >= $historyFrom AND scanned_at < $historyUntil GROUP BY 1`;
  const range = { historyFrom: BigInt(from), historyUntil: BigInt(until) };
  const rows = await duck.rows(sql, { ...scope.params, ...local.params, ...range }, signal);
  const counts = new Map(rows.map((row) => [Number(row.day), Number(row.n)]));
  const firstWhole = Math.ceil(localOf(offsets, from) / DAY_MS);
  const days = [...counts.keys()].filter((day) => day >= firstWhole && day <= lastDay);
  const firstDay = days.reduce((first, day) => Math.min(first, day), lastDay + 1);
  const values = Array.from({ length: lastDay - firstDay + 1 }, (_, index) => counts.get(firstDay + index) ?? 0);
  return { firstDay, lastDay, values };
}

/** What a scope shows nothing before. */
function floorOf({ params }: Pick<Scope, "params">): number {
  const bounds = [params.start, params.floor].filter((bound) => typeof bound === "bigint").map(Number);
  return Math.max(0, ...bounds);
}

/** Counts of the hours of the week, Monday 0 o'clock first, and how often each hour was there to be used. */
export interface WeekHours {
  counts: number[];
  /** In hours; a clock that is set back gives one hour twice. */
  exposures: number[];
  total: number;
  /** Events were looked at from here, milliseconds since 1970. */
  from: number;
}

/** Hours of a week. */
export const WEEK_HOURS = 168;
const QUARTER_MS = HOUR_MS / 4;
/** 1970-01-01 was a Thursday: its midnight is hour 72 of a week that begins on Monday. */
const EPOCH_HOUR = 72;

/** Reads events by the hour of the week in a zone, from the first event after `from` until `until`. */
export async function readWeekHours(
  { duck, scope, signal }: Asking,
  range: { zone: string; from: number; until: number },
): Promise<WeekHours> {
  const lower = Math.max(range.from, floorOf(scope));
  const offsets = offsetsOf(range.zone, { start: lower, end: range.until });
  const local = localSql(offsets);
  const sql = `SELECT ((${local.sql} // ${HOUR_MS}) + ${EPOCH_HOUR}) % ${WEEK_HOURS} AS hour, count(*) AS n,
    min(scanned_at) AS first_at FROM events
    WHERE ${scope.sql} AND scanned_at >= $hoursFrom AND scanned_at < $hoursUntil GROUP BY 1`;
  const bounds: Params = { hoursFrom: BigInt(lower), hoursUntil: BigInt(range.until) };
  const rows = await duck.rows(sql, { ...scope.params, ...local.params, ...bounds }, signal);
  const counts = new Array<number>(WEEK_HOURS).fill(0);
  let [total, first] = [0, range.until];
  for (const row of rows) {
    counts[Number(row.hour)] = Number(row.n);
    total += Number(row.n);
    first = Math.min(first, Number(row.first_at));
  }
  const from = Math.floor(first / QUARTER_MS) * QUARTER_MS;
  const exposures = new Array<number>(WEEK_HOURS).fill(0);
  for (let at = from; at < range.until; at += QUARTER_MS) {
    const hour = (Math.floor(localOf(offsets, at) / HOUR_MS) + EPOCH_HOUR) % WEEK_HOURS;
    exposures[hour] = (exposures[hour] ?? 0) + 1 / 4;
  }
  return { counts, exposures, total, from };
}
