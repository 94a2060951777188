import type { GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { percentOf } from "#runtime/percent.ts";
import type { Row } from "../engine/query.ts";
import { IDENTIFIED } from "../fields/levels.ts";
import type { Asked } from "./asked.ts";
import { type Dimension, dimensionOf } from "./dimensions.ts";
import { memberOf, nameSql } from "./members.ts";
import type { Period } from "./periods.ts";
import { plus } from "./range.ts";

/** What a period adds up to. */
export interface Numbers {
  events: number;
  visitors: number;
  newVisitors: number;
  leads: number;
  conversations: number;
}

const NAMES = ["events", "visitors", "newVisitors", "leads", "conversations"] as const;

/** What is compared: periods that do not overlap, the one of the question first, and by what, if by anything. */
export interface Comparison {
  periods: readonly Period[];
  dimension: GroupByDimension | undefined;
  limit: number;
}

/** All events as one member. */
const ALL: Dimension = { key: "''", spread: undefined, params: {}, isLink: false, labelOf: (code) => code };

/**
 * The first period against the mean of the others: all events, and the members with most events in any of the periods, the
 * largest change first, ties by code.
 */
export async function readComparison(asked: Asked, { periods, dimension, limit }: Comparison) {
  const always = { ...asked, scope: asked.whole, startDate: undefined, endDate: undefined };
  const grouping = dimension === undefined ? ALL : dimensionOf(dimension, always);
  const { duck, whole, signal } = asked;
  const which = whichOf(periods);
  const params = { ...grouping.params, ...which.params, ...whole.params, limit: BigInt(limit) };
  const rows = await duck.rows(comparedSql(asked, { grouping, which: which.sql }), plus(asked, params), signal);
  const [all, known] = [rows.filter(({ member }) => member === null), rows.filter(({ member }) => member !== null)];
  const members = [...Map.groupBy(known, (row) => String(row.member))].map(([code, some]) => ({
    code,
    label: String(some[0]?.name || grouping.labelOf(code)),
    ...comparedOf(some, periods.length),
  }));
  const byChange = (a: (typeof members)[number], b: (typeof members)[number]) =>
    Math.abs(b.change.events) - Math.abs(a.change.events) || (a.code < b.code ? -1 : 1);
  return { ...comparedOf(all, periods.length), members: dimension === undefined ? [] : members.sort(byChange) };
}

/** Rows by period: of all events, whose member is NULL, and of the top members. */
function comparedSql({ whole }: Asked, { grouping, which }: { grouping: Dimension; which: string }): string {
  const member = memberOf(grouping);
  const numbers = `sum(g.n)::BIGINT AS events, count(DISTINCT g.visitor_key) AS visitors,
    count(DISTINCT g.visitor_key) FILTER (g.first_at = f.first_at) AS "newVisitors",
    count(DISTINCT g.visitor_key) FILTER (g.talks > 0 OR f.known) AS leads, sum(g.talks)::BIGINT AS conversations`;
  return `WITH g AS MATERIALIZED (SELECT ${which} AS idx, ${grouping.key} AS key, visitor_key, count(*) AS n,
      count(*) FILTER (talked) AS talks, min(scanned_at) AS first_at FROM touches
      WHERE ${whole.sql} AND scanned_at BETWEEN $least AND $most AND (${which}) IS NOT NULL GROUP BY 1, 2, 3),
    firsts AS MATERIALIZED (SELECT visitor_key, min(scanned_at) AS first_at, ${IDENTIFIED} AS known FROM touches
      WHERE ${whole.sql} AND scanned_at <= $most AND visitor_key IN (SELECT visitor_key FROM g) GROUP BY 1),
    m AS MATERIALIZED (SELECT g.idx, ${member.sql} AS member, ${numbers}
      FROM g ${member.join} LEFT JOIN firsts f USING (visitor_key) GROUP BY 1, 2),
    top AS (SELECT member FROM m GROUP BY 1 ORDER BY max(events) DESC, member LIMIT $limit)
    SELECT g.idx, NULL AS member, ${numbers}, NULL AS name FROM g LEFT JOIN firsts f USING (visitor_key) GROUP BY 1
    UNION ALL SELECT m.*, ${nameSql(grouping)} AS name FROM m WHERE member IN (SELECT member FROM top)`;
}

/** Which period an event is in, and the ends of all. They do not overlap. */
function whichOf(periods: readonly Period[]) {
  const params: Record<string, bigint> = {
    least: BigInt(Math.min(...periods.map(({ start }) => start))),
    most: BigInt(Math.max(...periods.map(({ end }) => end))),
  };
  const cases = periods.map(({ start, end }, at) => {
    params[`from${at}`] = BigInt(start);
    params[`to${at}`] = BigInt(end);
    return `WHEN scanned_at BETWEEN $from${at} AND $to${at} THEN ${at}`;
  });
  return { sql: `CASE ${cases.join(" ")} END`, params };
}

/** The first period against the mean of the others. */
function comparedOf(rows: readonly Row[], periods: number) {
  const byPeriod = new Map(rows.map((row) => [Number(row.idx), row]));
  const of = (name: keyof Numbers, at: number) => Number(byPeriod.get(at)?.[name] ?? 0);
  const [current, previous, change] = [zeros(), zeros(), zeros()];
  const changePct: Partial<Numbers> = {};
  for (const name of NAMES) {
    current[name] = of(name, 0);
    for (let at = 1; at < periods; at += 1) previous[name] += of(name, at);
    previous[name] /= periods - 1;
    change[name] = current[name] - previous[name];
    if (previous[name] !== 0) changePct[name] = percentOf(change[name], previous[name]);
  }
  return { current, previous, change, changePct };
}

function zeros(): Numbers {
  return { events: 0, visitors: 0, newVisitors: 0, leads: 0, conversations: 0 };
}
