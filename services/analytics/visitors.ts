import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Action, SortDirection, VisitType } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Duck, Params, Row } from "./duck.ts";
import { toDevice } from "./events.ts";
import { type Cursor, visitorOf } from "./rules.ts";
import type { Scope } from "./scope.ts";

/** What visitors can be sorted by, and the column of the grouping that it is. */
export const SORTS: Readonly<Record<string, string>> = {
  createdAt: "first_at",
  updatedAt: "last_at",
  visitCount: "visits",
};

/** Which visitors, in which order. */
export interface VisitorQuestion {
  scope: Scope;
  search: string | undefined;
  sort: string;
  direction: SortDirection;
  after: Cursor | undefined;
  size: number;
}

/** A page of visitors with their counts. */
export async function readVisitors(
  duck: Duck,
  question: VisitorQuestion,
): Promise<{ rows: Row[]; hasMore: boolean; total: bigint }> {
  const { scope, after, size, search } = question;
  const column = SORTS[question.sort] ?? "first_at";
  const [order, beyond] = question.direction === SortDirection.ASC ? ["ASC", ">"] : ["DESC", "<"];
  const like = search === undefined ? "" : " AND contains(lower('vis_' || device_id), lower($search))";
  const base: Params = search === undefined ? scope.params : { ...scope.params, search };
  const grouped = `SELECT device_id, count(*) AS visits, count(DISTINCT link_id) AS links, min(scanned_at) AS first_at,
    max(scanned_at) AS last_at FROM events WHERE ${scope.sql} AND device_id IS NOT NULL${like} GROUP BY device_id`;
  const having = after === undefined ? "" : ` WHERE (${column}, device_id) ${beyond} ($key, $last)`;
  const params = after === undefined ? base : { ...base, key: BigInt(after.key), last: after.id };
  const [rows, [count]] = await Promise.all([
    duck.rows(
      `SELECT * FROM (${grouped})${having} ORDER BY ${column} ${order}, device_id ${order} LIMIT ${size + 1}`,
      params,
    ),
    duck.rows(`SELECT count(*) AS total FROM (${grouped})`, base),
  ]);
  return { rows: rows.slice(0, size), hasMore: rows.length > size, total: BigInt(String(count?.total ?? 0)) };
}

/** The sort key of a row, for the cursor. */
export function cursorOf(row: Row, sort: string): Cursor {
  return { key: Number(row[SORTS[sort] ?? "first_at"]), id: String(row.device_id) };
}

const time = (value: unknown) => timestampFromMs(Number(value));

/** A visitor without includes. */
export function toVisitor(row: Row) {
  return {
    id: visitorOf(String(row.device_id)),
    visitCount: BigInt(String(row.visits)),
    deviceCount: 1n,
    qrcodeCount: BigInt(String(row.links)),
    createdAt: time(row.first_at),
    updatedAt: time(row.last_at),
  };
}

/** The most events that a visitor includes. */
const MOST_EVENTS = 100;

/** The latest events of each of these devices, newest first, by device. */
export async function latestEvents(
  duck: Duck,
  question: { scope: Scope; devices: readonly string[] },
): Promise<Map<string, Row[]>> {
  if (question.devices.length === 0) return new Map();
  const params: Record<string, never> = { ...(question.scope.params as Record<string, never>) };
  question.devices.forEach((device, index) => {
    params[`d${index}`] = device as never;
  });
  const list = question.devices.map((_, index) => `$d${index}`).join(", ");
  const sql = `SELECT *, row_number() OVER (PARTITION BY device_id, link_id ORDER BY scanned_at, id) AS visit,
      count(*) OVER (PARTITION BY device_id, link_id) AS link_events,
      min(scanned_at) OVER (PARTITION BY device_id, link_id) AS link_first,
      max(scanned_at) OVER (PARTITION BY device_id, link_id) AS link_last
    FROM events WHERE ${question.scope.sql} AND device_id IN (${list})
    QUALIFY row_number() OVER (PARTITION BY device_id ORDER BY scanned_at DESC, id DESC) <= ${MOST_EVENTS}
      OR row_number() OVER (PARTITION BY device_id, link_id ORDER BY scanned_at DESC, id DESC) = 1
    ORDER BY scanned_at DESC, id DESC`;
  return Map.groupBy(await duck.rows(sql, params), (row) => String(row.device_id));
}

/** What a visitor includes, from its latest events. */
export function includesOf(rows: readonly Row[], include: ReadonlySet<string>) {
  const latest = rows[0];
  const events = rows.slice(0, MOST_EVENTS).map((row) => ({
    id: String(row.id),
    linkId: String(row.link_id),
    action: Action.SCAN,
    visitType: row.visit === 1n ? VisitType.FIRST : VisitType.RETURNING,
    scannedAt: time(row.scanned_at),
    createdAt: time(row.recorded_at),
  }));
  return {
    devices: include.has("devices") && latest !== undefined ? [toDevice(latest)] : [],
    events: include.has("events") ? events : [],
  };
}

/** The links of a visitor: one row a link, its latest event first. */
export function linksOf(rows: readonly Row[]): Row[] {
  return [...new Map(rows.map((row) => [String(row.link_id), row])).values()];
}
