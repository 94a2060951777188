import { CohortInterval } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import { percentOf } from "#runtime/percent.ts";
import { DAY_MS } from "../rules.ts";
import { calendarOf } from "./calendar.ts";
import { round, type Standing } from "./standing.ts";

/** How much of a month's visitors come on a day. */
export interface Stickiness {
  days: number;
  averageDailyVisitors: number;
  visitors: number;
  percentage: number;
}

/** So many complete days are looked at. */
const DAYS = 30;

const NOTHING: Stickiness = { days: 0, averageDailyVisitors: 0, visitors: 0, percentage: 0 };

/** Reads it over the last complete days of a question, not before its start. */
export async function readStickiness({ question, zone, start, whole }: Standing): Promise<Stickiness> {
  const { duck, scope, signal } = question;
  const from = Math.max(start ?? 0, question.floor?.at ?? 0);
  const calendar = calendarOf(zone, CohortInterval.DAY, { start: whole - (DAYS + 2) * DAY_MS, end: whole });
  const last = calendar.indexOf(whole + 1);
  let first = last - DAYS;
  while (first < last && calendar.startOf(first) < from) first += 1;
  if (first >= last) return NOTHING;
  const sql = `SELECT count(DISTINCT visitor_key) AS visitors,
    count(DISTINCT (visitor_key, ${calendar.indexSql("scanned_at")})) AS visits FROM touches
    WHERE ${scope.sql} AND visitor_key IS NOT NULL AND scanned_at >= $from AND scanned_at < $to`;
  const range = { from: BigInt(calendar.startOf(first)), to: BigInt(calendar.startOf(last)) };
  const [row] = await duck.rows(sql, { ...scope.params, ...calendar.params, ...range }, signal);
  const [days, visitors, visits] = [last - first, Number(row?.visitors ?? 0), Number(row?.visits ?? 0)];
  if (visitors === 0) return { ...NOTHING, days };
  return { days, visitors, averageDailyVisitors: round(visits / days), percentage: percentOf(visits / days, visitors) };
}
