import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ComparisonBase,
  GroupByDimension,
  type QueryComparisonRequest,
} from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import type { Asking } from "../asking.ts";
import { fail } from "../reasons.ts";
import { lastMs } from "../scope.ts";
import { dimensionNamed, dimensionOf, UNKNOWN } from "./dimensions.ts";
import { memberSql } from "./members.ts";
import { percentOf, plus } from "./range.ts";

/** A period, both ends inclusive, milliseconds since 1970. */
export interface Period {
  start: number;
  end: number;
}

const WEEK_MS = 7 * 86_400_000;

/** This period as far as it is over, and those that it is compared with, the latest first. */
export function periodsOf(request: QueryComparisonRequest, now: number): { current: Period; base: Period[] } {
  const start = Number(lastMs(request.startDate ?? timestampFromMs(0)));
  const wanted = Number(lastMs(request.endDate ?? timestampFromMs(now)));
  if (wanted < start) throw fail("RANGE_REVERSED", { field: "end_date" });
  const current = { start, end: Math.max(start, Math.min(wanted, now)) };
  if (request.base !== ComparisonBase.EARLIER_WEEKS) {
    const back = wanted - start + 1; // the whole period, however much of it is over
    return { current, base: [shifted(current, back)] };
  }
  const weeks = Array.from({ length: request.weeks ?? 4 }, (_, index) => shifted(current, (index + 1) * WEEK_MS));
  return { current, base: weeks };
}

function shifted({ start, end }: Period, byMs: number): Period {
  return { start: start - byMs, end: end - byMs };
}

/** Numbers of each period. `asking` has a scope without a range. */
export async function readComparison(asking: Asking, periods: readonly Period[]) {
  const { duck, scope, signal } = asking;
  const sql = `SELECT p.idx, count(*) AS n, count(DISTINCT visitor_key) AS uniques, count(*) FILTER (talked) AS talks
    FROM touches t JOIN ${PERIODS} p ON t.scanned_at BETWEEN p.start AND p.stop WHERE ${scope.sql} GROUP BY 1`;
  const rows = await duck.rows(sql, plus(asking, listsOf(periods)), signal);
  const of = (column: string) => {
    const values = new Map(rows.map((row) => [Number(row.idx), Number(row[column])]));
    return comparedOf(periods.map((_period, index) => values.get(index) ?? 0));
  };
  return { events: of("n"), uniqueVisitors: of("uniques"), conversations: of("talks") };
}

const PERIODS = "(SELECT unnest($starts) AS start, unnest($stops) AS stop, unnest(range(len($starts))) AS idx)";

function listsOf(periods: readonly Period[]) {
  return { starts: periods.map(({ start }) => BigInt(start)), stops: periods.map(({ end }) => BigInt(end)) };
}

/** Members with most events in any of the periods, the largest change first. */
export async function readComparedMembers(
  asking: Asking,
  given: { periods: readonly Period[]; dimension: string; limit: number },
) {
  const { duck, scope, signal } = asking;
  const dimension = dimensionNamed(given.dimension, { field: "dimension", absent: GroupByDimension.COUNTRY });
  const member = memberSql(dimensionOf(dimension), scope.sql);
  const sql = `WITH g AS (SELECT ${member} AS member, p.idx, count(*) AS n
      FROM touches JOIN ${PERIODS} p ON scanned_at BETWEEN p.start AND p.stop WHERE ${scope.sql} GROUP BY 1, 2),
    top AS (SELECT member FROM g GROUP BY 1 ORDER BY max(n) DESC, member ASC NULLS LAST LIMIT $limit)
    SELECT g.* FROM g JOIN top ON g.member IS NOT DISTINCT FROM top.member`;
  const rows = await duck.rows(sql, plus(asking, { ...listsOf(given.periods), limit: BigInt(given.limit) }), signal);
  const members = [...Map.groupBy(rows, (row) => (row.member === null ? "" : String(row.member)))].map(
    ([code, some]) => {
      const values = new Map(some.map((row) => [Number(row.idx), Number(row.n)]));
      const events = comparedOf(given.periods.map((_period, index) => values.get(index) ?? 0));
      return { code, label: code || UNKNOWN, events };
    },
  );
  return members.sort((a, b) => Math.abs(b.events.change) - Math.abs(a.events.change) || (a.code < b.code ? -1 : 1));
}

/** The first value against the average of the others. */
export function comparedOf([current = 0, ...others]: readonly number[]) {
  const base = others.reduce((sum, value) => sum + value, 0) / Math.max(1, others.length);
  const change = current - base;
  return { current, base, change, changePercent: base === 0 ? undefined : percentOf(change, base) };
}
