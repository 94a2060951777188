import { SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Asking } from "../asking.ts";
import type { Cursor } from "../cursor.ts";
import type { Params, Row } from "../engine/query.ts";
import type { Page } from "../events/events.ts";
import { readWatermark } from "../feed/watermark.ts";
import { asOf, type Scope } from "../scope.ts";

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

/**
 * Reads one page of visitors with their counts; ties stand in the order of `device_key`. `asking` has the caller's scope
 * without narrowing.
 */
export async function readVisitors(asking: Asking, question: VisitorQuestion): Promise<Page> {
  const { duck, signal } = asking;
  const { after, size, sort, direction } = question;
  const upTo = after?.upTo ?? (await readWatermark(duck)).position;
  const { sql, params } = grouped(asOf(asking.scope, upTo), question);
  const [way, beyond] = direction === SortDirection.ASC ? ["ASC", ">"] : ["DESC", "<"];
  const order = `ORDER BY ${sort} ${way}, device_key ${way}`;
  const where = after === undefined ? "" : `WHERE (${sort}, device_key) ${beyond} ($key, $last)`;
  const named = `SELECT page.*, events.device_id FROM page JOIN events ON events.rowid = page.one_row
    ORDER BY page.${sort} ${way}, page.device_key ${way}`;
  const rows = await duck.rows(
    `WITH visitors AS MATERIALIZED (${sql}), page AS (
       SELECT *, (SELECT count(*) FROM visitors) AS total FROM visitors ${where} ${order} LIMIT ${size + 1})
     ${named}`,
    after === undefined ? params : { ...params, key: BigInt(after.key), last: BigInt(after.id) },
    signal,
  );
  const total = after?.total ?? Number(rows[0]?.total ?? 0);
  return { rows: rows.slice(0, size), hasMore: rows.length > size, total, upTo };
}

/** One row a device. Only what is sorted by or asked for is read: links and names are dear. */
function grouped(scope: Scope, { linkId, search, sort }: VisitorQuestion) {
  const conditions: string[] = [];
  const params: Record<string, Params[string]> = { ...scope.params };
  if (linkId !== undefined) {
    conditions.push("bool_or(link_id = $link)");
    params.link = linkId;
  }
  if (search !== undefined) {
    conditions.push("contains(lower('vis_' || any_value(device_id)), lower($search))");
    params.search = search;
  }
  const links = sort === "links" ? ", count(DISTINCT link_id) AS links" : "";
  const having = conditions.length === 0 ? "" : `HAVING ${conditions.join(" AND ")}`;
  const sql = `SELECT device_key, count(*) AS visits, min(scanned_at) AS first_at, max(scanned_at) AS last_at,
    1::BIGINT AS devices, min(rowid) AS one_row${links}
    FROM events WHERE ${scope.sql} AND device_key IS NOT NULL GROUP BY device_key ${having}`;
  return { sql, params };
}

/** The most links, and the most events, that a visitor includes. */
const MOST_INCLUDED = 100;

/** Devices by their keys. */
export type Keys = readonly bigint[];

/**
 * What these devices did with each link, the link of the latest event first: `visits`, `first_at`, `last_at`, `first_row`
 * the first event, and `links`, how many links that device met in all. The latest 100 links of each.
 */
export function readLinks(asking: Asking, keys: Keys): Promise<Row[]> {
  return readOf(
    asking,
    keys,
    (where) => `
    SELECT device_key, link_id, count(*) AS visits, min(scanned_at) AS first_at, max(scanned_at) AS last_at,
      arg_min(rowid, (scanned_at, rowid)) AS first_row, arg_max(rowid, (scanned_at, rowid)) AS last_row,
      count(*) OVER (PARTITION BY device_key) AS links
    FROM events WHERE ${where} GROUP BY device_key, link_id
    QUALIFY row_number() OVER (PARTITION BY device_key ORDER BY last_at DESC, last_row DESC) <= ${MOST_INCLUDED}
    ORDER BY last_at DESC, last_row DESC`,
  );
}

/** How many links these devices met: `device_key`, `links`. */
export function countLinks(asking: Asking, keys: Keys): Promise<Row[]> {
  return readOf(
    asking,
    keys,
    (where) => `
    SELECT device_key, count(DISTINCT link_id) AS links FROM events WHERE ${where} GROUP BY device_key`,
  );
}

/** The latest 100 events of each of these devices, newest first. */
export function readLatest(asking: Asking, keys: Keys): Promise<Row[]> {
  return readOf(
    asking,
    keys,
    (where) => `
    SELECT rowid, device_key, id, link_id, scanned_at, recorded_at FROM events WHERE rowid IN (
      SELECT rowid FROM events WHERE ${where}
      QUALIFY row_number() OVER (PARTITION BY device_key ORDER BY scanned_at DESC, rowid DESC) <= ${MOST_INCLUDED})
    ORDER BY scanned_at DESC, rowid DESC`,
  );
}

/** The latest event of each of these devices, with all columns. */
export function readDevices(asking: Asking, keys: Keys): Promise<Row[]> {
  return readOf(
    asking,
    keys,
    (where) => `
    SELECT * FROM events WHERE rowid IN (
      SELECT arg_max(rowid, (scanned_at, rowid)) FROM events WHERE ${where} GROUP BY device_key)`,
  );
}

async function readOf({ duck, signal, scope }: Asking, keys: Keys, sql: (where: string) => string): Promise<Row[]> {
  if (keys.length === 0) return [];
  const where = `${scope.sql} AND device_key IN (SELECT unnest($keys))`;
  return duck.rows(sql(where), { ...scope.params, keys }, signal);
}
