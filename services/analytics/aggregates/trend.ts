import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Asking } from "../asking.ts";
import { count32 } from "../rules.ts";
import type { Scope } from "../scope.ts";
import type { Intervals } from "./calendar.ts";
import { lay, plus } from "./range.ts";

/**
 * New and returning visitors of each interval. A visitor is new in the interval that holds its first event of all that
 * `all` covers (the link's, the tag's or the workspace's), and returns in every later one in which it has events. A late
 * event may become the first, so this is decided when it is read.
 */
export async function readTrend(asking: Asking, { intervals, all }: { intervals: Intervals; all: Scope }) {
  const { duck, scope, signal } = asking;
  const { slot, join, params } = lay(intervals);
  const sql = `WITH seen AS MATERIALIZED (
      SELECT visitor_key AS v, ${slot} AS slot FROM touches WHERE ${scope.sql} AND visitor_key IS NOT NULL GROUP BY 1, 2),
    firsts AS (SELECT visitor_key AS v, min(scanned_at) AS first_at FROM touches
      WHERE ${all.sql} AND visitor_key IN (SELECT v FROM seen) GROUP BY 1),
    visits AS (SELECT DISTINCT g.v, b.idx FROM seen g ${join}),
    marked AS (SELECT idx, v, row_number() OVER (PARTITION BY v ORDER BY idx) = 1 AND first_at >= $from AS is_new
      FROM visits JOIN firsts USING (v))
    SELECT idx, count(*) FILTER (is_new) AS fresh, count(*) FILTER (NOT is_new) AS again,
      (SELECT count(DISTINCT v) FROM marked WHERE NOT is_new) AS returning FROM marked GROUP BY 1`;
  const from = scope.params.start ?? BigInt(intervals.starts[0] ?? 0);
  const rows = await duck.rows(sql, plus(asking, { ...all.params, ...params, from }), signal);
  const byInterval = new Map(rows.map((row) => [Number(row.idx), row]));
  const data = intervals.starts.map((start, index) => ({
    timestamp: timestampFromMs(start),
    newVisitorCount: count32(Number(byInterval.get(index)?.fresh ?? 0)),
    returningVisitorCount: count32(Number(byInterval.get(index)?.again ?? 0)),
  }));
  const totalNew = data.reduce((sum, point) => sum + point.newVisitorCount, 0);
  return { data, totalNew: count32(totalNew), totalReturning: count32(Number(rows[0]?.returning ?? 0)) };
}
