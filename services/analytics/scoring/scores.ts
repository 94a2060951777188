import type { Asking } from "../asking.ts";
import { deviceKey } from "../device-key.ts";
import type { Params, Row } from "../engine/query.ts";
import { deviceOf } from "../rules.ts";
import { leadScoreOf, type Parts, partsOf, rounded, type Sums } from "./parts.ts";
import { deedsSql, profilesSql, scoresSql, sumsSql, weightParams } from "./score-sql.ts";

/** A row of `sumsSql` in plain values. */
export function toSums(row: Row): Sums {
  const count = (column: string): number => Number(row[column] ?? 0);
  const truth = (column: string): boolean => row[column] === true;
  return {
    visits: count("visits"),
    links: count("links"),
    days: count("days"),
    talks: count("talks"),
    messages: count("messages"),
    kinds: count("kinds"),
    hasBrowser: truth("has_browser"),
    hasPlatform: truth("has_platform"),
    hasEmail: truth("has_email"),
    hasPhone: truth("has_phone"),
    hasName: truth("has_name"),
    attributes: count("attributes"),
  };
}

/** The key of a visitor that the scope shows: one with events there, or one that was identified. Undefined: no such one. */
export async function visitorKeyOf({ duck, scope, signal }: Asking, visitorId: string): Promise<bigint | undefined> {
  const own = "workspace = $workspace AND test = $test";
  const { workspace, test } = scope.params as { workspace: string; test: boolean };
  const known = `SELECT visitor_key FROM visitors WHERE ${own} AND visitor_id = $visitorId
    UNION ALL SELECT visitor_key FROM identities WHERE ${own} AND visitor_id = $visitorId LIMIT 1`;
  const [identified] = await duck.rows(known, { workspace, test, visitorId }, signal);
  if (identified !== undefined) return BigInt(String(identified.visitor_key));
  const seen = `SELECT visitor_key FROM touches WHERE ${scope.sql} AND device_key = $visitorDevice
    AND visitor_id = $visitorId LIMIT 1`;
  const params = { ...scope.params, visitorId, visitorDevice: deviceKey(deviceOf(visitorId)) };
  const [row] = await duck.rows(seen, params, signal);
  return row === undefined ? undefined : BigInt(String(row.visitor_key));
}

/** What a visitor adds up to by all that the scope shows. */
export async function readSums({ duck, scope, signal }: Asking, visitorKey: bigint): Promise<Sums> {
  const { workspace, test } = scope.params as { workspace: string; test: boolean };
  const deeds = deedsSql(`${scope.sql} AND visitor_key = $visitorKey`);
  const profile = `SELECT * FROM (${profilesSql()}) WHERE visitor_key = $visitorKey`;
  const [[done], [known]] = await Promise.all([
    duck.rows(deeds, { ...scope.params, visitorKey }, signal),
    duck.rows(profile, { workspace, test, visitorKey }, signal),
  ]);
  return toSums({ ...done, ...known });
}

/** An event whose visitor is scored. */
export interface ScoredEvent {
  id: string;
  visitorKey: bigint;
  visitorId: string;
  /** When it was scanned, milliseconds since 1970. */
  at: number;
  /** Where it arrived on the log. */
  position: number;
}

/** The event of a link; undefined when the scope does not show it. One of an unknown device has no visitor. */
export async function readEvent(
  { duck, scope, signal }: Asking,
  id: string,
): Promise<ScoredEvent | "nobody" | undefined> {
  const sql = `SELECT visitor_key, visitor_id, scanned_at, position FROM touches WHERE ${scope.sql} AND id = $event`;
  const [row] = await duck.rows(sql, { ...scope.params, event: id }, signal);
  if (row === undefined) return undefined;
  if (row.visitor_key === null || row.visitor_key === undefined) return "nobody";
  const visitor = { visitorKey: BigInt(String(row.visitor_key)), visitorId: String(row.visitor_id) };
  return { id, ...visitor, at: Number(row.scanned_at), position: Number(row.position) };
}

/**
 * What the visitor of an event added up to with that event: its events that were scanned up to it (of the same
 * millisecond by id) and had arrived by then, and what was known of it by then. What comes later never changes it.
 */
export async function readSumsAt({ duck, scope, signal }: Asking, event: ScoredEvent): Promise<Sums> {
  const upTo = `${scope.sql} AND visitor_key = $visitorKey AND position <= $eventPosition
    AND (scanned_at < $eventAt OR scanned_at = $eventAt AND id <= $event)`;
  const [row = {}] = await duck.rows(
    sumsSql(upTo, "$eventAt"),
    {
      ...scope.params,
      visitorKey: event.visitorKey,
      eventPosition: BigInt(event.position),
      eventAt: BigInt(event.at),
      event: event.id,
    },
    signal,
  );
  return toSums(row);
}

/** Lead scores of the visitors of devices, by device key as text, by all that the scope shows. */
export async function readLeadScores(
  { duck, scope, signal }: Asking,
  weights: Parts,
  deviceKeys: readonly bigint[],
): Promise<Map<string, ReturnType<typeof leadScoreOf>>> {
  if (deviceKeys.length === 0) return new Map();
  const asked = `SELECT d.device_key, coalesce(i.visitor_key, d.device_key) AS visitor_key
    FROM (SELECT DISTINCT unnest($scoredDevices) AS device_key) d LEFT JOIN identities i
      ON i.workspace = $workspace AND i.test = $test AND i.device_key = d.device_key`;
  const mine = `${scope.sql} AND visitor_key IN (SELECT visitor_key FROM asked)`;
  const sql = `WITH asked AS MATERIALIZED (${asked})
    SELECT asked.device_key, s.* FROM asked JOIN (${sumsSql(mine)}) s ON s.visitor_key = asked.visitor_key`;
  const rows = await duck.rows(sql, { ...scope.params, scoredDevices: deviceKeys }, signal);
  return new Map(rows.map((row) => [String(row.device_key), leadScoreOf(partsOf(toSums(row)), weights)]));
}

/** Above so many events the visitors of a part of them stand for all. docs/analytics.md says how far off that may be. */
const MOST_AVERAGED = 50_000;

/**
 * The mean, over the events of `asking`, of the lead scores of their visitors, each by all that the caller sees (`seen`).
 * Events of unknown devices have none. Of more than 50,000 events, those of every k-th visitor (by key) stand for all.
 * Undefined when no event has a score.
 */
export async function readAverageScore(
  { duck, scope, signal }: Asking,
  { seen, weights, events }: { seen: Asking["scope"]; weights: Parts; events: number },
): Promise<number | undefined> {
  const parts = Math.ceil(events / MOST_AVERAGED);
  const [some, every]: [string, Params] =
    parts <= 1 ? ["", {}] : [" AND visitor_key % $every = 0", { every: BigInt(parts) }];
  const sql = scope.sql === seen.sql ? averageSql(`${seen.sql}${some}`) : narrowedSql({ scope, seen, some });
  const params = { ...seen.params, ...scope.params, ...every, ...weightParams(weights) };
  const [row] = await duck.rows(sql, params, signal);
  const average = row?.average;
  return average === null || average === undefined ? undefined : rounded(Number(average));
}

/** Over all events that are seen: then each visitor counts by its visits, and one pass does. */
function averageSql(condition: string): string {
  return `SELECT sum(visits * score) / sum(visits) AS average FROM (${scoresSql(condition)})`;
}

/** Over some of them. Who is in the sample is said of both passes, so that neither looks at more. */
function narrowedSql({ scope, seen, some }: Record<"scope" | "seen", Asking["scope"]> & { some: string }): string {
  return `WITH counted AS MATERIALIZED (SELECT visitor_key, count(*) AS n FROM touches
      WHERE ${scope.sql} AND visitor_key IS NOT NULL${some} GROUP BY 1)
    SELECT sum(n * score) / sum(n) AS average FROM counted JOIN (
      ${scoresSql(`${seen.sql}${some} AND visitor_key IN (SELECT visitor_key FROM counted)`)}) USING (visitor_key)`;
}
