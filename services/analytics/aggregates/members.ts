import type { GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import type { Asking } from "../asking.ts";
import { type Dimension, dimensionOf, UNKNOWN } from "./dimensions.ts";
import { plus } from "./range.ts";

/** One member of a dimension. */
export interface Member {
  /** As it is stored; empty: not known. */
  code: string;
  label: string;
  events: number;
  uniques: number;
}

/** Members of a dimension, and how many events all of them have. */
export interface Members {
  members: Member[];
  total: number;
}

/** Which members to read. `seen`: the condition of all that the caller sees, for what looks at the past of devices. */
export interface Wanted {
  dimension: GroupByDimension;
  limit: number;
  seen: string;
  /** Unique visitors are asked for; they cost more. */
  uniques: boolean;
}

/** The members with most events, ties by code; what is not known is a member, after others of its size. */
export async function readMembers(asking: Asking, wanted: Wanted): Promise<Members> {
  const { duck, scope, signal } = asking;
  const dimension = dimensionOf(wanted.dimension);
  const inner = wanted.uniques
    ? `SELECT ${memberSql(dimension, wanted.seen)} AS member, visitor_key, count(*) AS n FROM touches
       WHERE ${scope.sql} GROUP BY 1, 2`
    : `SELECT ${memberSql(dimension, wanted.seen)} AS member, NULL AS visitor_key, count(*) AS n FROM touches
       WHERE ${scope.sql} GROUP BY 1`;
  const sql = `WITH grouped AS (SELECT member, sum(n)::BIGINT AS n, count(visitor_key) AS uniques FROM (${inner}) GROUP BY 1)
    SELECT member, n, uniques, (SELECT sum(n)::BIGINT FROM grouped) AS total,
      ${dimension.isLink ? "(SELECT any_value(name) FROM links WHERE workspace = $workspace AND test = $test AND link_id = member)" : "NULL"} AS name
    FROM grouped ORDER BY n DESC, member ASC NULLS LAST LIMIT $limit`;
  const rows = await duck.rows(sql, plus(asking, { limit: BigInt(wanted.limit) }), signal);
  const members = rows.map((row) => ({
    code: row.member === null ? "" : String(row.member),
    label: String(row.name || row.member || UNKNOWN),
    events: Number(row.n),
    uniques: Number(row.uniques),
  }));
  return { members, total: Number(rows[0]?.total ?? 0) };
}

/** SQL of the member, an empty text being not known. */
export function memberSql(dimension: Dimension, seen: string): string {
  return `nullif((${dimension.sql(seen)})::VARCHAR, '')`;
}
