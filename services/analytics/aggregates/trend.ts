import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { count32 } from "../rules.ts";
import type { Asked } from "./asked.ts";
import type { Intervals } from "./calendar.ts";
import { lay, plus } from "./range.ts";

/**
 * New and returning visitors of each interval. A visitor is new in the interval that holds its first event of all (of the
 * link, the tag or the workspace), and returns in every other one in which it has events. A late event may become the
 * first, so this is decided when it is read.
 */
export async function readTrend(asked: Asked, intervals: Intervals) {
  const { duck, scope, whole, signal } = asked;
  const { slot, join, params } = lay(intervals);
  const sql = `WITH seen AS MATERIALIZED (SELECT visitor_key AS v, ${slot} AS slot, min(scanned_at) AS first_at FROM touches
      WHERE ${scope.sql} AND visitor_key IS NOT NULL GROUP BY 1, 2),
    mine AS MATERIALIZED (SELECT v, min(first_at) AS first_at FROM seen GROUP BY 1),
    older AS (SELECT DISTINCT visitor_key AS v FROM touches
      WHERE ${whole.sql} AND scanned_at < $from AND visitor_key IN (SELECT v FROM mine)),
    visits AS (SELECT g.v, b.idx, min(g.first_at) AS first_at FROM seen g ${join} GROUP BY 1, 2),
    marked AS (SELECT visits.v, idx, visits.first_at = mine.first_at AND older.v IS NULL AS is_new
      FROM visits JOIN mine USING (v) LEFT JOIN older USING (v))
    SELECT idx, count(*) FILTER (is_new) AS fresh, count(*) FILTER (NOT is_new) AS again,
      (SELECT count(DISTINCT v) FROM marked WHERE NOT is_new) AS returning FROM marked GROUP BY 1`;
  const from = scope.params.start ?? BigInt(intervals.starts[0] ?? 0);
  const rows = await duck.rows(sql, plus(asked, { ...params, from }), signal);
  const byInterval = new Map(rows.map((row) => [Number(row.idx), row]));
  const data = intervals.starts.map((start, index) => ({
    timestamp: timestampFromMs(start),
    newVisitorCount: count32(Number(byInterval.get(index)?.fresh ?? 0)),
    returningVisitorCount: count32(Number(byInterval.get(index)?.again ?? 0)),
  }));
  const totalNew = data.reduce((sum, point) => sum + point.newVisitorCount, 0);
  return { data, totalNew: count32(totalNew), totalReturning: count32(Number(rows[0]?.returning ?? 0)) };
}
