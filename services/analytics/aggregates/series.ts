import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import type { Row } from "../engine/query.ts";
import { fail } from "../reasons.ts";
import { count32 } from "../rules.ts";
import type { Asked } from "./asked.ts";
import type { Intervals } from "./calendar.ts";
import { dimensionOf } from "./dimensions.ts";
import { memberOf, readMembers } from "./members.ts";
import { lay, plus } from "./range.ts";

/** What series are asked for. */
export interface SeriesQuestion {
  intervals: Intervals;
  groupBy: GroupByDimension;
  limit: number;
  includeOther: boolean;
}

/** The most points of one answer. */
const MOST_POINTS = 20_000;

/** One series of all events, or one a member, the largest first; every interval is there. */
export async function readSeries(asked: Asked, { groupBy, intervals, limit, includeOther }: SeriesQuestion) {
  if (groupBy === GroupByDimension.UNSPECIFIED) {
    const rows = await readCounts(asked, intervals);
    const total = rows.reduce((sum, row) => sum + Number(row.n), 0);
    return { series: [{ label: "All", points: pointsOf(rows, intervals) }], totalEvents: count32(total) };
  }
  const series = limit + (includeOther ? 1 : 0);
  if (series * intervals.starts.length > MOST_POINTS)
    throw fail("TOO_MANY_POINTS", { field: "interval_in_minutes", points: series * intervals.starts.length });
  const { members, total } = await readMembers(asked, { dimension: groupBy, limit, isEventsOnly: true });
  const top = members.map(({ code }) => code);
  const byMember = Map.groupBy(await readCounts(asked, intervals, { groupBy, top }), (row) => Number(row.member));
  const shown = members.map(({ label }, index) => ({
    label,
    points: pointsOf(byMember.get(index + 1) ?? [], intervals),
  }));
  const other = { label: "Other", points: pointsOf(byMember.get(0) ?? [], intervals) };
  return { series: includeOther ? [...shown, other] : shown, totalEvents: count32(total) };
}

/** Counts by interval and by the place of the member among the top ones; 0: another. */
function readCounts(
  asked: Asked,
  intervals: Intervals,
  members?: { groupBy: GroupByDimension; top: readonly string[] },
): Promise<Row[]> {
  const { duck, scope, signal } = asked;
  const { slot, join, params } = lay(intervals);
  if (members === undefined) {
    const sql = `SELECT b.idx, sum(g.n)::BIGINT AS n FROM (
        SELECT ${slot} AS slot, count(*) AS n FROM events WHERE ${scope.sql} GROUP BY 1) g ${join} GROUP BY 1`;
    return duck.rows(sql, plus(asked, params), signal);
  }
  const dimension = dimensionOf(members.groupBy, asked);
  const member = memberOf(dimension);
  const sql = `SELECT b.idx, coalesce(list_position($top, ${member.sql}), 0) AS member, sum(g.n)::BIGINT AS n FROM (
      SELECT ${slot} AS slot, ${dimension.key} AS key, count(*) AS n FROM touches WHERE ${scope.sql} GROUP BY 1, 2) g
    ${join} ${member.join} GROUP BY 1, 2`;
  return duck.rows(sql, plus(asked, { ...dimension.params, ...params, top: members.top }), signal);
}

function pointsOf(rows: readonly Row[], { starts }: Intervals) {
  const counts = new Map(rows.map((row) => [Number(row.idx), Number(row.n)]));
  return starts.map((start, index) => ({ timestamp: timestampFromMs(start), value: count32(counts.get(index) ?? 0) }));
}
