import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import type { Asking } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { fail } from "../reasons.ts";
import { count32 } from "../rules.ts";
import type { Intervals } from "./calendar.ts";
import { dimensionOf } from "./dimensions.ts";
import { type Members, memberSql, readMembers } from "./members.ts";
import { lay, plus } from "./range.ts";

/** What series are asked for. */
export interface SeriesQuestion {
  intervals: Intervals;
  groupBy: GroupByDimension;
  limit: number;
  includeOther: boolean;
  seen: string;
}

/** The most points of one answer. */
const MOST_POINTS = 20_000;

/** One series of all events, or one a member, the largest first; every interval is there. */
export async function readSeries(asking: Asking, question: SeriesQuestion) {
  const { groupBy, intervals, limit, includeOther, seen } = question;
  if (groupBy === GroupByDimension.UNSPECIFIED) {
    const rows = await readCounts(asking, { intervals, member: "'0'" });
    const points = pointsOf(rows, intervals);
    return { series: [{ label: "All", points }], totalEvents: totalOf(rows) };
  }
  const series = limit + (includeOther ? 1 : 0);
  if (series * intervals.starts.length > MOST_POINTS)
    throw fail("TOO_MANY_POINTS", { field: "interval_in_minutes", points: series * intervals.starts.length });
  const top = await readMembers(asking, { dimension: groupBy, limit, seen, uniques: false });
  const code = memberSql(dimensionOf(groupBy), seen);
  const member = `(CASE WHEN ${code} IS NULL THEN ${unknownIn(top)} ELSE coalesce(list_position($top, ${code}), 0) END)::VARCHAR`;
  const rows = await readCounts(asking, { intervals, member, top: top.members.map(({ code }) => code) });
  const byMember = Map.groupBy(rows, (row) => String(row.member));
  const shown = top.members.map(({ label }, index) => ({
    label,
    points: pointsOf(byMember.get(String(index + 1)) ?? [], intervals),
  }));
  const other = { label: "Other", points: pointsOf(byMember.get("0") ?? [], intervals) };
  return { series: includeOther ? [...shown, other] : shown, totalEvents: count32(top.total) };
}

/** Where the member that is not known stands among the top ones; 0: it is one of the others. */
function unknownIn({ members }: Members): number {
  return members.findIndex(({ code }) => code === "") + 1;
}

interface Counting {
  intervals: Intervals;
  member: string;
  top?: readonly string[];
}

function readCounts(asking: Asking, { intervals, member, top }: Counting): Promise<Row[]> {
  const { duck, scope, signal } = asking;
  const { slot, join, params } = lay(intervals);
  const sql = `SELECT b.idx, g.member, sum(g.n)::BIGINT AS n FROM (
      SELECT ${slot} AS slot, ${member} AS member, count(*) AS n FROM touches WHERE ${scope.sql} GROUP BY 1, 2) g ${join}
    GROUP BY 1, 2`;
  return duck.rows(sql, plus(asking, top === undefined ? params : { ...params, top: listOf(top) }), signal);
}

/** The member that is not known is no text to look for. */
function listOf(codes: readonly string[]): readonly string[] {
  return codes.map((code) => (code === "" ? "\u0000" : code));
}

function pointsOf(rows: readonly Row[], { starts }: Intervals) {
  const counts = new Map(rows.map((row) => [Number(row.idx), Number(row.n)]));
  return starts.map((start, index) => ({ timestamp: timestampFromMs(start), value: count32(counts.get(index) ?? 0) }));
}

function totalOf(rows: readonly Row[]): number {
  return count32(rows.reduce((sum, row) => sum + Number(row.n), 0));
}
