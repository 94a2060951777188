import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Action, DeviceActor, type ListEventsRequest, VisitType } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Principal } from "#runtime/context.ts";
import type { Duck, Row } from "./duck.ts";
import { type Cursor, deviceTypeOf, methodOf, visitorOf } from "./rules.ts";
import { type Scope, scopeOf } from "./scope.ts";

/** A page of rows of `events`, newest first, and how many match in all. */
export interface Page {
  rows: Row[];
  hasMore: boolean;
  total: bigint;
}

/** Reads one page. The order is by time and id, so that a page begins exactly after the last row of the one before. */
export async function readEvents(
  duck: Duck,
  question: { scope: Scope; after: Cursor | undefined; size: number },
): Promise<Page> {
  const { scope, after, size } = question;
  const beyond = after === undefined ? "" : " AND (scanned_at < $key OR (scanned_at = $key AND id < $last))";
  const params = after === undefined ? scope.params : { ...scope.params, key: BigInt(after.key), last: after.id };
  const sql = `SELECT * FROM events WHERE ${scope.sql}${beyond} ORDER BY scanned_at DESC, id DESC LIMIT ${size + 1}`;
  const [rows, [count]] = await Promise.all([
    duck.rows(sql, params),
    duck.rows(`SELECT count(*) AS total FROM events WHERE ${scope.sql}`, scope.params),
  ]);
  return { rows: rows.slice(0, size), hasMore: rows.length > size, total: BigInt(String(count?.total ?? 0)) };
}

/** The ids of events that were their device's first of their link, among the links and devices of `rows`. */
export async function firstVisits(
  duck: Duck,
  caller: { principal: Principal; rows: readonly Row[] },
): Promise<Set<string>> {
  const known = caller.rows.filter((row) => row.device_id !== null);
  if (known.length === 0) return new Set();
  const scope = scopeOf(caller.principal);
  const names = { links: unique(known, "link_id"), devices: unique(known, "device_id") };
  const list = (prefix: string, values: string[]) => values.map((_, index) => `$${prefix}${index}`).join(", ");
  const params: Record<string, string | boolean | bigint> = { ...(scope.params as Record<string, string>) };
  names.links.forEach((value, index) => {
    params[`l${index}`] = value;
  });
  names.devices.forEach((value, index) => {
    params[`d${index}`] = value;
  });
  const sql = `SELECT arg_min(id, {at: scanned_at, id: id}) AS first FROM events WHERE ${scope.sql}
    AND link_id IN (${list("l", names.links)}) AND device_id IN (${list("d", names.devices)}) GROUP BY link_id, device_id`;
  return new Set((await duck.rows(sql, params)).map((row) => String(row.first)));
}

function unique(rows: readonly Row[], column: string): string[] {
  return [...new Set(rows.map((row) => String(row[column])))];
}

const words = (value: unknown): string | undefined =>
  value === null || value === undefined ? undefined : String(value);
const time = (value: unknown) => timestampFromMs(Number(value));

/** The device of an event's row. */
export function toDevice(row: Row) {
  return {
    id: words(row.device_id) ?? "",
    country: words(row.country),
    region: words(row.region),
    state: words(row.region),
    city: words(row.city),
    timezone: words(row.timezone),
    isp: words(row.isp),
    asn: row.asn === null || row.asn === undefined ? undefined : BigInt(String(row.asn)),
    ipAddress: words(row.ip),
    userAgent: words(row.user_agent),
    browserName: words(row.browser),
    browserVersion: words(row.browser_version),
    browserLanguage: words(row.language),
    platformName: words(row.platform),
    platformVersion: words(row.platform_version),
    deviceType: deviceTypeOf(Number(row.device_type)),
    deviceActor: row.human === true ? DeviceActor.HUMAN : DeviceActor.BOT,
    deviceBrand: words(row.brand),
    lastUsedAt: time(row.scanned_at),
  };
}

/** What an event's row looks like in the API, without includes. */
export function toEvent(row: Row, context: { firsts: ReadonlySet<string>; publicUrl: string }) {
  const device = words(row.device_id);
  const destination = words(row.destination);
  const isFirst = context.firsts.has(String(row.id));
  return {
    id: String(row.id),
    workspaceId: String(row.workspace),
    linkId: String(row.link_id),
    visitorId: device === undefined ? undefined : visitorOf(device),
    deviceId: device,
    action: Action.SCAN,
    visitType: device === undefined ? undefined : isFirst ? VisitType.FIRST : VisitType.RETURNING,
    httpMethod: methodOf(row.method as string | null),
    entrypoint: row.short_id === null ? "" : `${context.publicUrl}/s/${String(row.short_id)}`,
    destination,
    scannedAt: time(row.scanned_at),
    createdAt: time(row.recorded_at),
    updatedAt: time(row.recorded_at),
    traces: destination === undefined ? [] : [{ kind: "redirect", rule: words(row.rule), destination }],
  };
}

/** Which page size a request gets: the default, or its own up to the most. */
export function sizeOf(request: Pick<ListEventsRequest, "pageSize">, sizes: { default: number; most: number }): number {
  return Math.min(request.pageSize ?? sizes.default, sizes.most);
}
