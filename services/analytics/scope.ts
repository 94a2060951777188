import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { RequestContext } from "#runtime/context.ts";
import { deviceKey } from "./device-key.ts";
import type { Params } from "./engine/query.ts";
import { fail } from "./reasons.ts";
import { DAY_MS, deviceOf } from "./rules.ts";

/** What a question is about. Every question has a scope, and every scope a workspace. */
export interface Scope {
  /** Follows WHERE; made of fixed parts, values are bound. */
  sql: string;
  params: Params;
  /** What was asked for, the same whenever it is asked again: for page tokens. */
  asked: readonly unknown[];
}

/** Why a caller is not shown all of the past. */
export interface Floor {
  /** Nothing before this time is shown, milliseconds since 1970. */
  at: number;
  why: "RETENTION" | "KEY_CLASS";
}

/** What may narrow a question. */
export interface Narrowing {
  linkId?: string | undefined;
  visitorId?: string | undefined;
  /** Only links that have this tag now. */
  tag?: string | undefined;
  startDate?: Timestamp | undefined;
  endDate?: Timestamp | undefined;
}

/** What a development key may look back. */
const TEST_MS = 30 * DAY_MS;

/** Since when a workspace keeps events, milliseconds since 1970; undefined: for good. */
export function keptSince(scansDays: number, now: number): number | undefined {
  return scansDays === 0 ? undefined : now - scansDays * DAY_MS;
}

/** How far back a caller is shown events: a development key 30 days, and nobody longer than the workspace keeps them (0: for good). */
export function floorOf({ principal, now }: Caller, scansDays: number): Floor | undefined {
  const byClass: Floor | undefined = principal.test ? { at: now() - TEST_MS, why: "KEY_CLASS" } : undefined;
  const since = keptSince(scansDays, now());
  const kept: Floor | undefined = since === undefined ? undefined : { at: since, why: "RETENTION" };
  if (byClass === undefined || kept === undefined) return byClass ?? kept;
  return byClass.at >= kept.at ? byClass : kept;
}

/** Devices of the visitor that this device belongs to, and the device itself. */
const OF_VISITOR = `device_key IN (SELECT $deviceKey UNION ALL SELECT device_key FROM identities
  WHERE workspace = $workspace AND test = $test AND visitor_key IN (SELECT visitor_key FROM identities
    WHERE workspace = $workspace AND test = $test AND device_key = $deviceKey))`;

/** Condition of events whose link has a tag now. `tag`: the parameter that holds it, as "$tag". */
export function taggedSql(tag: string): string {
  return `link_id IN (SELECT link_id FROM links WHERE workspace = $workspace AND test = $test AND list_contains(tags, ${tag}))`;
}

type Caller = Pick<RequestContext, "principal" | "now">;

/**
 * The human events of the caller's workspace: for a development key the test events of the last 30 days, for all others
 * the real ones. A start before what is shown is moved, not refused. `scansDays`: how long the workspace keeps events.
 */
export function scopeOf(caller: Caller, narrow: Narrowing = {}, scansDays = 0): Scope {
  const { workspace, test } = caller.principal;
  const floor = floorOf(caller, scansDays);
  const { linkId, visitorId, tag, startDate, endDate } = narrow;
  const device = visitorId === undefined ? undefined : deviceOf(visitorId);
  if (startDate !== undefined && endDate !== undefined && isBefore(endDate, startDate))
    throw fail("RANGE_REVERSED", { field: "end_date" });
  const start = startDate && firstMs(startDate);
  const end = endDate && lastMs(endDate);
  const scope = { sql: "workspace = $workspace AND human AND test = $test", params: { workspace, test } };
  const parts: [string, string, string | bigint | undefined][] = [
    ["link_id = $link", "link", linkId],
    [OF_VISITOR, "deviceKey", device === undefined ? undefined : deviceKey(device)],
    [taggedSql("$tag"), "tag", tag],
    ["scanned_at >= $start", "start", start],
    ["scanned_at <= $end", "end", end],
    ["scanned_at >= $floor", "floor", floor && BigInt(Math.floor(floor.at))],
  ];
  const asked = [workspace, test, linkId, visitorId, start, end, ...(tag === undefined ? [] : [tag])];
  return parts.reduce<Scope>((all, [sql, name, value]) => and(all, { sql, name, value }), { ...scope, asked });
}

/** The scope as it was when the log had been read up to a position. */
export function asOf(scope: Scope, position: number): Scope {
  return and(scope, { sql: "position <= $upTo", name: "upTo", value: BigInt(position) });
}

/** The condition of a scope without what it says of people: programs' events, which count nowhere, are in it too. */
export function withPrograms(sql: string): string {
  return sql.replace(" AND human AND ", " AND ");
}

/** The scope narrowed by one more condition; by none when the value is undefined. */
function and(scope: Scope, part: { sql: string; name: string; value: Params[string] | undefined }): Scope {
  const { sql, name, value } = part;
  if (value === undefined) return scope;
  return { ...scope, sql: `${scope.sql} AND ${sql}`, params: { ...scope.params, [name]: value } };
}

function isBefore(one: Timestamp, other: Timestamp): boolean {
  return one.seconds < other.seconds || (one.seconds === other.seconds && one.nanos < other.nanos);
}

/** The furthest that a time can be from 1970, in milliseconds. */
const FURTHEST = 8_640_000_000_000_000n;

/** The first whole millisecond that is not before a time. */
export function firstMs({ seconds, nanos }: Timestamp): bigint {
  return held(seconds * 1_000n + BigInt(Math.ceil(nanos / 1_000_000)));
}

/** The last whole millisecond that is not after a time. */
export function lastMs({ seconds, nanos }: Timestamp): bigint {
  return held(seconds * 1_000n + BigInt(Math.floor(nanos / 1_000_000)));
}

function held(ms: bigint): bigint {
  if (ms > FURTHEST) return FURTHEST;
  return ms < -FURTHEST ? -FURTHEST : ms;
}
