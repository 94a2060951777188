import { SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Cursor } from "./cursor.ts";
import type { Asking, Page } from "./events.ts";
import type { Row } from "./query.ts";
import { and, asOf } from "./scope.ts";
import { readWatermark } from "./watermark.ts";

/** What visitors are sorted by: a column of their grouping. */
export type SortColumn = "first_at" | "last_at" | "visits" | "devices" | "links";

/** The names of sort fields: the vendor's, and shorter ones. */
const SORTS: Readonly<Record<string, SortColumn>> = {
  createdAt: "first_at",
  updatedAt: "last_at",
  visitCount: "visits",
  deviceCount: "devices",
  qrcodeCount: "links",
  VISITOR_SORT_FIELD_UNSPECIFIED: "first_at",
  VISITOR_SORT_FIELD_CREATED_AT: "first_at",
  VISITOR_SORT_FIELD_VISIT_COUNT: "visits",
  VISITOR_SORT_FIELD_DEVICE_COUNT: "devices",
  VISITOR_SORT_FIELD_QRCODE_COUNT: "links",
};

/** The column of a sort field; newest visitors first when there is none. */
export function sortColumnOf(field: string | undefined): SortColumn {
  return (field && SORTS[field]) || "first_at";
}

/** Which visitors, in which order. */
export interface VisitorQuestion {
  /** Only those who met this link. They are shown with all that they did. */
  linkId: string | undefined;
  search: string | undefined;
  sort: SortColumn;
  direction: SortDirection;
  after: Cursor | undefined;
  size: number;
}

/** Reads one page of visitors with their counts, ties by device. `asking` has the caller's scope without narrowing. */
export async function readVisitors(asking: Asking, question: VisitorQuestion): Promise<Page> {
  const { duck, signal } = asking;
  const { after, size, sort, direction } = question;
  const upTo = after?.upTo ?? (await readWatermark(duck)).position;
  const { sql, params } = grouped({ ...asking, scope: asOf(asking.scope, upTo) }, question);
  const [order, beyond] = direction === SortDirection.ASC ? ["ASC", ">"] : ["DESC", "<"];
  const where = after === undefined ? "" : `WHERE (${sort}, device_id) ${beyond} ($key, $last)`;
  const rows = await duck.rows(
    `WITH visitors AS MATERIALIZED (${sql})
     SELECT *, (SELECT count(*) FROM visitors) AS total FROM visitors ${where}
     ORDER BY ${sort} ${order}, device_id ${order} LIMIT ${size + 1}`,
    after === undefined ? params : { ...params, key: BigInt(after.key), last: after.id },
    signal,
  );
  const total = after?.total ?? Number(rows[0]?.total ?? 0);
  return { rows: rows.slice(0, size), hasMore: rows.length > size, total, upTo };
}

/** One row a device; links are counted only where they are sorted by, since that is the dear part. */
function grouped({ scope }: Asking, { linkId, search, sort }: VisitorQuestion) {
  const met = `device_id IN (SELECT device_id FROM events WHERE ${scope.sql} AND link_id = $link)`;
  const { sql: where, params } = and(scope, { sql: met, name: "link", value: linkId });
  const links = sort === "links" ? ", count(DISTINCT link_id) AS links" : "";
  const having = search === undefined ? "" : "HAVING contains(lower('vis_' || device_id), lower($search))";
  const sql = `SELECT device_id, count(*) AS visits, min(scanned_at) AS first_at, max(scanned_at) AS last_at,
    1::BIGINT AS devices${links} FROM events WHERE ${where} AND device_id IS NOT NULL GROUP BY device_id ${having}`;
  return { sql, params: search === undefined ? params : { ...params, search } };
}

/** The most links, and the most events, that a visitor includes. */
const MOST_INCLUDED = 100;

const OF_DEVICES = "device_id IN (SELECT unnest($included))";

/**
 * What these devices did with each link, the link of the latest event first: `visits`, `first_at`, `last_at`, `first_id`
 * the first event, and `links`, how many links that device met in all. The latest 100 links of each.
 */
export async function readLinks({ duck, signal, scope }: Asking, devices: readonly string[]): Promise<Row[]> {
  if (devices.length === 0) return [];
  const sql = `SELECT device_id, link_id, count(*) AS visits, min(scanned_at) AS first_at, max(scanned_at) AS last_at,
      arg_min(id, (scanned_at, id)) AS first_id, arg_max(id, (scanned_at, id)) AS last_id,
      count(*) OVER (PARTITION BY device_id) AS links
    FROM events WHERE ${scope.sql} AND ${OF_DEVICES} GROUP BY device_id, link_id
    QUALIFY row_number() OVER (PARTITION BY device_id ORDER BY last_at DESC, last_id DESC) <= ${MOST_INCLUDED}
    ORDER BY last_at DESC, last_id DESC`;
  return duck.rows(sql, { ...scope.params, included: devices }, signal);
}

/** How many links these devices met: `device_id`, `links`. */
export async function countLinks({ duck, signal, scope }: Asking, devices: readonly string[]): Promise<Row[]> {
  if (devices.length === 0) return [];
  const sql = `SELECT device_id, count(DISTINCT link_id) AS links FROM events WHERE ${scope.sql} AND ${OF_DEVICES}
    GROUP BY device_id`;
  return duck.rows(sql, { ...scope.params, included: devices }, signal);
}

/** The latest 100 events of each of these devices, newest first. */
export async function readLatest({ duck, signal, scope }: Asking, devices: readonly string[]): Promise<Row[]> {
  if (devices.length === 0) return [];
  const sql = `SELECT device_id, id, link_id, scanned_at, recorded_at FROM events WHERE ${scope.sql} AND ${OF_DEVICES}
    QUALIFY row_number() OVER (PARTITION BY device_id ORDER BY scanned_at DESC, id DESC) <= ${MOST_INCLUDED}
    ORDER BY scanned_at DESC, id DESC`;
  return duck.rows(sql, { ...scope.params, included: devices }, signal);
}

/** The latest event of each of these devices, with all columns. */
export async function readDevices({ duck, signal, scope }: Asking, devices: readonly string[]): Promise<Row[]> {
  if (devices.length === 0) return [];
  const sql = `SELECT * FROM events WHERE rowid IN (
    SELECT arg_max(rowid, (scanned_at, id)) FROM events WHERE ${scope.sql} AND ${OF_DEVICES} GROUP BY device_id)`;
  return duck.rows(sql, { ...scope.params, included: devices }, signal);
}
