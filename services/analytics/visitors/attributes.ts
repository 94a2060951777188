import { percentOf } from "#runtime/percent.ts";
import { plus } from "../aggregates/range.ts";
import type { Asking } from "../asking.ts";
import { textOf, timeOf, typeOf } from "../events/messages.ts";
import { count32 } from "../rules.ts";

const OWN = "workspace = $workspace AND test = $test";

/** What the profile has, as if it were attributes. */
const PROFILE = `SELECT visitor_key, k AS key, 'string' AS type, t AS text, NULL::DOUBLE AS number, updated_at AS recorded_at
  FROM (SELECT visitor_key, updated_at, unnest(['$email', '$phone', '$firstName', '$lastName']) AS k,
    unnest([email, phone, first_name, last_name]) AS t FROM visitors WHERE ${OWN}) WHERE t IS NOT NULL`;

const VALUES = `(SELECT visitor_key, key, type, text, number, recorded_at FROM attributes WHERE ${OWN} UNION ALL ${PROFILE})`;

const audience = (where: string) =>
  `(SELECT DISTINCT visitor_key FROM touches WHERE ${where} AND visitor_key IS NOT NULL)`;

/** Keys that visitors of the scope have, with the type of most of their values. */
export async function readKeys({ duck, scope, signal }: Asking) {
  const sql = `SELECT key, mode(type) AS type FROM ${VALUES} WHERE visitor_key IN ${audience(scope.sql)} GROUP BY 1 ORDER BY 1 LIMIT 1000`;
  const rows = await duck.rows(sql, scope.params, signal);
  const attributes = rows.map((row) => ({ key: String(row.key), type: typeOf(String(row.type)) }));
  return { attributeKeys: attributes.map(({ key }) => key), attributes };
}

/** How many visitors of the scope have an attribute, and its numbers. */
export async function readAttributeMetric(asking: Asking, key: string) {
  const { duck, scope, signal } = asking;
  const sql = `WITH audience AS MATERIALIZED ${audience(scope.sql)}
    SELECT (SELECT count(*) FROM audience) AS everyone, count(*) AS n, count(number) AS usable, avg(number) AS average,
      min(number) AS least, max(number) AS most
    FROM ${VALUES} WHERE key = $key AND visitor_key IN (SELECT visitor_key FROM audience)`;
  const [row = {}] = await duck.rows(sql, plus(asking, { key }), signal);
  const number = (name: string) => (row[name] === null || row[name] === undefined ? undefined : Number(row[name]));
  const [everyone, total] = [number("everyone") ?? 0, number("n") ?? 0];
  return {
    audienceCount: count32(everyone),
    totalCount: count32(total),
    usableCount: count32(number("usable") ?? 0),
    averageValue: number("average"),
    minValue: number("least"),
    maxValue: number("most"),
    coverageRate: percentOf(total, everyone),
  };
}

/** Visitors of the scope by the values of an attribute. */
export async function readDistribution(asking: Asking, { key, limit }: { key: string; limit: number }) {
  const { duck, scope, signal } = asking;
  const sql = `SELECT text, count(*) AS n, (sum(count(*)) OVER ())::BIGINT AS total FROM ${VALUES}
    WHERE key = $key AND visitor_key IN ${audience(scope.sql)} GROUP BY 1 ORDER BY n DESC, text LIMIT $limit`;
  const rows = await duck.rows(sql, plus(asking, { key, limit: BigInt(limit) }), signal);
  const total = Number(rows[0]?.total ?? 0);
  const data = rows.map((row) => ({
    label: String(row.text),
    visitorCount: count32(Number(row.n)),
    percentage: percentOf(Number(row.n), total),
  }));
  return { data, total: count32(total) };
}

/** Values of an attribute, the latest first. */
export async function readValues(asking: Asking, { key, limit }: { key: string; limit: number }) {
  const { duck, scope, signal } = asking;
  const sql = `SELECT text, recorded_at, (count(*) OVER ())::BIGINT AS total FROM ${VALUES}
    WHERE key = $key AND visitor_key IN ${audience(scope.sql)} ORDER BY recorded_at DESC, text LIMIT $limit`;
  const rows = await duck.rows(sql, plus(asking, { key, limit: BigInt(limit) }), signal);
  const data = rows.map((row) => ({ value: textOf(row.text) ?? "", recordedAt: timeOf(row.recorded_at) }));
  return { data, total: count32(Number(rows[0]?.total ?? 0)) };
}
