import type { Params } from "../engine/query.ts";
import type { Rules } from "./model.ts";

/** What is looked at: events of one world in a range, filtered ones too. Follows WHERE, over the view `touches`. */
export interface Range {
  sql: string;
  params: Params;
}

const USER_AGENT = "coalesce(user_agent, '')";
const METHOD = "coalesce(method, '')";
const REASON = "CASE WHEN human THEN '' ELSE coalesce(reason, 'other') END";

/** The kinds of touches that differ in what the built-in rules judge by, numbered from 1. */
export function keptTable({ sql }: Range): string {
  return `CREATE TEMP TABLE kept AS SELECT row_number() OVER (ORDER BY user_agent, method, reason) AS n, *
    FROM (SELECT DISTINCT ${USER_AGENT} AS user_agent, ${METHOD} AS method, ${REASON} AS reason FROM touches WHERE ${sql})`;
}

/** What the built-in rules say of each kind; `human` is NULL where they cannot say. */
export const JUDGED_TABLE = `CREATE TEMP TABLE judged (n BIGINT, human BOOLEAN, reason VARCHAR, actor VARCHAR,
  has_device BOOLEAN, device_type BIGINT, browser VARCHAR, browser_version VARCHAR, platform VARCHAR,
  platform_version VARCHAR, brand VARCHAR)`;

/**
 * Touches in the order of their links with their reason now and by the rules (empty: it counts): those that change, and those
 * that could not be judged. They are of the devices that they were of.
 */
export function changedTable(range: Range, rules: Rules): string {
  return `CREATE TEMP TABLE changed AS
    SELECT CASE WHEN comes <> goes THEN row_number() OVER (PARTITION BY comes <> goes ORDER BY link_id, id) END AS n,
      row_id, id, link_id, scanned_at, comes, goes, kind, unjudged, actor, is_built_in, 0 AS device_change,
      NULL::VARCHAR AS device_before, NULL::VARCHAR AS device_after, NULL::BIGINT AS visitor_after, false AS unjudged_device
    FROM (${ruledSql(range, rules)}) WHERE comes <> goes OR unjudged`;
}

/** All touches of a range as the bot rules judge them. Each rule is asked of what still counts by those before it. */
export function ruledSql({ sql }: Range, rules: Rules): string {
  const { builtIn, userAgentContains, deviceIds, asns, maxPerMinute } = rules;
  const asked = `SELECT row_id, id, link_id, scanned_at, device_key, device_id, asn, ${USER_AGENT} AS user_agent,
    coalesce(ip, '') AS ip, ${METHOD} AS method, ${REASON} AS reason FROM touches WHERE ${sql}`;
  const judged = builtIn
    ? `SELECT a.*, j.n AS kind, coalesce(j.reason, a.reason) AS base, coalesce(j.actor, '') AS named,
         a.user_agent = '' AND j.human IS NULL AS unjudged
       FROM asked a JOIN kept k USING (user_agent, method, reason)
       LEFT JOIN (SELECT * FROM judged WHERE human IS NOT NULL) j ON j.n = k.n`
    : "SELECT *, NULL::BIGINT AS kind, reason AS base, '' AS named, false AS unjudged FROM asked";
  const needle =
    userAgentContains.length > 0 ? "list_filter($needles, x -> contains(lower(user_agent), x))[1]" : "NULL::VARCHAR";
  const cases = [
    "WHEN base <> '' THEN base",
    ...(userAgentContains.length > 0 ? ["WHEN needle IS NOT NULL THEN 'agent'"] : []),
    ...(deviceIds.length > 0 ? ["WHEN list_contains($devices, device_id) THEN 'device'"] : []),
    ...(asns.length > 0 ? ["WHEN list_contains($asns, asn::BIGINT) THEN 'network'"] : []),
  ];
  const blind = userAgentContains.length > 0 ? "unjudged OR (user_agent = '' AND base = '')" : "unjudged";
  const rate =
    maxPerMinute === undefined
      ? "ruled"
      : `CASE WHEN ruled = '' AND device_key IS NOT NULL AND row_number() OVER (PARTITION BY ruled = '', device_key,
           CAST(floor(scanned_at / 60000.0) AS BIGINT) ORDER BY scanned_at, id) > $most THEN 'rate' ELSE ruled END`;
  return `WITH asked AS (${asked}), based AS (${judged}),
    searched AS (SELECT *, ${needle} AS needle FROM based),
    ruled AS (SELECT *, CASE ${cases.join(" ")} ELSE '' END AS ruled FROM searched),
    last AS (SELECT *, ${rate} AS goes FROM ruled)
    SELECT row_id, id, link_id, scanned_at, reason AS comes, goes, kind, (${blind}) AS unjudged,
      CASE WHEN goes = '' THEN '' WHEN goes = 'agent' AND base <> goes THEN coalesce(needle, '') ELSE named END AS actor,
      goes = base AS is_built_in, device_key, device_id, ip, user_agent
    FROM last`;
}

/** The values of the rules. */
export function paramsOf({ userAgentContains, deviceIds, asns, maxPerMinute }: Rules): Params {
  return {
    ...(userAgentContains.length > 0 && { needles: userAgentContains }),
    ...(deviceIds.length > 0 && { devices: deviceIds }),
    ...(asns.length > 0 && { asns: asns.map(BigInt) }),
    ...(maxPerMinute !== undefined && { most: BigInt(maxPerMinute) }),
  };
}

/** Numbers of the range before and after, by a column or of all. */
export function numbersBy({ sql }: Range, { by, only }: { by: string; only: string }): string {
  return `SELECT ${by} AS name, count(*) AS considered, count(*) FILTER (human) AS events_before,
      count(*) FILTER (after) AS events_after, count(DISTINCT visitor_key) FILTER (human) AS visitors_before,
      count(DISTINCT visitor_after) FILTER (after) AS visitors_after, count(*) FILTER (moved) AS changed
    FROM (SELECT t.link_id, t.scanned_at, t.visitor_key, t.human, c.row_id IS NOT NULL AS moved,
        CASE WHEN c.row_id IS NULL THEN t.human ELSE c.goes = '' END AS after,
        CASE WHEN c.device_change > 0 THEN c.visitor_after ELSE t.visitor_key END AS visitor_after
      FROM (SELECT * FROM touches WHERE ${sql}) t
      LEFT JOIN (SELECT row_id, goes, device_change, visitor_after FROM changed WHERE n IS NOT NULL) c ON c.row_id = t.row_id)
    WHERE ${only} GROUP BY 1`;
}
