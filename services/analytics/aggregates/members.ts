import type { GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { percentOf } from "#runtime/percent.ts";
import { count32 } from "../rules.ts";
import type { Asked } from "./asked.ts";
import { type Dimension, dimensionOf } from "./dimensions.ts";
import { plus } from "./range.ts";

/** One member of a dimension. */
export interface Member {
  /** As it is stored; empty: not known. */
  code: string;
  label: string;
  events: number;
  uniques: number;
}

/** Members of a dimension, and how many events all of them have, each event once. */
export interface Members {
  members: Member[];
  total: number;
}

/** Which members to read. */
export interface Wanted {
  dimension: GroupByDimension;
  limit: number;
  /** Unique visitors are not asked for; they cost more. */
  isEventsOnly?: boolean;
}

/** SQL of the member of rows `g` that have a `key`, and what is joined for it. */
export function memberOf({ spread }: Dimension): { sql: string; join: string } {
  if (spread === undefined) return { sql: "g.key", join: "" };
  return { sql: "coalesce(s.member, '')", join: `LEFT JOIN (${spread}) s ON s.key = g.key` };
}

/** The members with most events, ties by code; what is not known is a member. */
export async function readMembers(asked: Asked, { dimension, limit, isEventsOnly }: Wanted): Promise<Members> {
  const { duck, scope, signal } = asked;
  const grouping = dimensionOf(dimension, asked);
  const visitor = isEventsOnly ? "NULL" : "visitor_key";
  const member = memberOf(grouping);
  // Only a member of several keys can have a visitor twice.
  const uniques = grouping.spread === undefined ? "count(g.visitor_key)" : "count(DISTINCT g.visitor_key)";
  const total = grouping.spread === undefined ? "sum(n) OVER ()" : "(SELECT sum(n) FROM g)";
  const sql = `WITH g AS (SELECT ${grouping.key} AS key, ${visitor} AS visitor_key, count(*) AS n FROM touches
      WHERE ${scope.sql} GROUP BY ALL),
    m AS (SELECT ${member.sql} AS member, sum(g.n)::BIGINT AS n, ${uniques} AS uniques FROM g ${member.join} GROUP BY 1)
    SELECT member, n, uniques, ${total}::BIGINT AS total, ${nameSql(grouping)} AS name
    FROM m ORDER BY n DESC, member LIMIT $limit`;
  const rows = await duck.rows(sql, plus(asked, { ...grouping.params, limit: BigInt(limit) }), signal);
  const members = rows.map((row) => ({
    code: String(row.member),
    label: String(row.name || grouping.labelOf(String(row.member))),
    events: Number(row.n),
    uniques: Number(row.uniques),
  }));
  return { members, total: Number(rows[0]?.total ?? 0) };
}

/** SQL of the name that a member has now. */
export function nameSql({ isLink }: Dimension): string {
  if (!isLink) return "NULL";
  return `(SELECT any_value(name) FROM links WHERE workspace = $workspace AND test = $test AND link_id = member)`;
}

/** What is said of the events of a member. */
export function shareOf({ events }: Member, total: number) {
  return { eventCount: count32(events), percentage: percentOf(events, total) };
}
