import { SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Asking } from "../asking.ts";
import type { Cursor } from "../cursor.ts";
import { deviceKey } from "../device-key.ts";
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
  /** Part of an id, a name, an address or a phone number, whatever the case. */
  search: string | undefined;
  /** Exactly this address. */
  email: string | undefined;
  sort: SortColumn;
  direction: SortDirection;
  after: Cursor | undefined;
  size: number;
}

const OWN = "workspace = $workspace AND test = $test";

/** What is known of each visitor who has attributes, as JSON: a list of them, by their keys. */
export const ATTRIBUTES = `SELECT visitor_key, to_json(list({key: key, type: type, text: text, number: number, truth: truth,
  time: time} ORDER BY key))::VARCHAR AS attributes FROM attributes WHERE ${OWN} GROUP BY 1`;

/**
 * Reads one page of visitors with their counts; ties stand in the order of `visitor_key`. `asking` has the caller's scope
 * without narrowing.
 */
export async function readVisitors(asking: Asking, question: VisitorQuestion): Promise<Page> {
  const { duck, signal } = asking;
  const { after, size, sort, direction } = question;
  const upTo = after?.upTo ?? (await readWatermark(duck)).position;
  const { sql, params } = grouped(asOf(asking.scope, upTo), question);
  const [way, beyond] = direction === SortDirection.ASC ? ["ASC", ">"] : ["DESC", "<"];
  const order = `ORDER BY ${sort} ${way}, visitor_key ${way}`;
  const where = after === undefined ? "" : `WHERE (${sort}, visitor_key) ${beyond} ($key, $last)`;
  const rows = await duck.rows(
    `WITH visitors AS MATERIALIZED (${sql}), page AS (
       SELECT *, (SELECT count(*) FROM visitors) AS total FROM visitors ${where} ${order} LIMIT ${size + 1})
     ${named("page")} ORDER BY page.${sort} ${way}, page.visitor_key ${way}`,
    after === undefined ? params : { ...params, key: BigInt(after.key), last: BigInt(after.id) },
    signal,
  );
  const total = after?.total ?? Number(rows[0]?.total ?? 0);
  return { rows: rows.slice(0, size), hasMore: rows.length > size, total, upTo };
}

/** The row of one visitor, or of the one that it is part of now; undefined: the caller sees no event of it. */
export async function readVisitor({ duck, signal, scope }: Asking, device: string): Promise<Row | undefined> {
  const key = deviceKey(device);
  const sql = `WITH whom AS (SELECT coalesce((SELECT any_value(visitor_key) FROM identities WHERE ${OWN} AND device_key = $one), $one) AS k),
    visitor AS (SELECT visitor_key, count(*) AS visits, min(scanned_at) AS first_at, max(scanned_at) AS last_at,
      count(DISTINCT device_key) AS devices, min(row_id) AS one_row FROM touches
      WHERE ${scope.sql} AND ${DEVICES_OF("(SELECT k FROM whom)")} AND visitor_key = (SELECT k FROM whom) GROUP BY 1)
    ${named("visitor")}`;
  const [row] = await duck.rows(sql, { ...scope.params, one: key }, signal);
  return row;
}

/** Devices that may be of these visitors: to look only at their events. */
const DEVICES_OF = (keys: string): string =>
  `device_key IN (SELECT device_key FROM identities WHERE ${OWN} AND visitor_key IN ${keys} UNION ALL ${keys})`;

/** Visitors of a relation with their ids and what is known of them. */
function named(relation: string): string {
  return `SELECT ${relation}.*, coalesce(v.visitor_id, 'vis_' || e.device_id) AS visitor_id, v.email, v.phone, v.first_name,
      v.last_name, a.attributes
    FROM ${relation} JOIN events e ON e.rowid = ${relation}.one_row
    LEFT JOIN (SELECT * FROM known_visitors WHERE ${OWN}) v ON v.visitor_key = ${relation}.visitor_key
    LEFT JOIN (${ATTRIBUTES}) a ON a.visitor_key = ${relation}.visitor_key`;
}

/** One row a visitor. Only what is sorted by or asked for is read: links and names are dear. */
function grouped(scope: Scope, { linkId, search, email, sort }: VisitorQuestion) {
  const conditions: string[] = [];
  const params: Record<string, Params[string]> = { ...scope.params };
  const known = (sql: string) => `(SELECT visitor_key FROM known_visitors WHERE ${OWN} AND ${sql})`;
  let where = `${scope.sql} AND visitor_key IS NOT NULL`;
  if (linkId !== undefined) {
    conditions.push("bool_or(link_id = $link)");
    params.link = linkId;
  }
  if (email !== undefined) {
    where += ` AND ${DEVICES_OF(known("email = $email"))} AND visitor_key IN ${known("email = $email")}`;
    params.email = email.trim().toLowerCase();
  }
  if (search !== undefined) {
    const names = "concat_ws(' ', email, phone, first_name, last_name, visitor_id)";
    conditions.push(
      `(contains(lower(min(visitor_id)), lower($search)) OR visitor_key IN ${known(`contains(lower(${names}), lower($search))`)})`,
    );
    params.search = search;
  }
  const links = sort === "links" ? ", count(DISTINCT link_id) AS links" : "";
  const having = conditions.length === 0 ? "" : `HAVING ${conditions.join(" AND ")}`;
  const sql = `SELECT visitor_key, count(*) AS visits, min(scanned_at) AS first_at, max(scanned_at) AS last_at,
    ${DEVICE_COUNT} AS devices, min(row_id) AS one_row${links}
    FROM touches WHERE ${where} GROUP BY visitor_key ${having}`;
  return { sql, params };
}

const DEVICE_COUNT = "count(DISTINCT device_key)";

/** The most links, and the most events, that a visitor includes. */
const MOST_INCLUDED = 100;

/** Visitors by their keys. */
export type Keys = readonly bigint[];

/**
 * What these visitors did with each link, the link of the latest event first: `visits`, `first_at`, `last_at`, and `links`,
 * how many links that visitor met in all. The latest 100 links of each.
 */
export function readLinks(asking: Asking, keys: Keys): Promise<Row[]> {
  return readOf(
    asking,
    keys,
    (where) => `
    SELECT visitor_key, link_id, count(*) AS visits, min(scanned_at) AS first_at, max(scanned_at) AS last_at,
      arg_max(row_id, (scanned_at, row_id)) AS last_row,
      count(*) OVER (PARTITION BY visitor_key) AS links
    FROM touches WHERE ${where} GROUP BY visitor_key, link_id
    QUALIFY row_number() OVER (PARTITION BY visitor_key ORDER BY last_at DESC, last_row DESC) <= ${MOST_INCLUDED}
    ORDER BY last_at DESC, last_row DESC`,
  );
}

/** How many links these visitors met: `visitor_key`, `links`. */
export function countLinks(asking: Asking, keys: Keys): Promise<Row[]> {
  return readOf(
    asking,
    keys,
    (where) => `
    SELECT visitor_key, count(DISTINCT link_id) AS links FROM touches WHERE ${where} GROUP BY visitor_key`,
  );
}

/** The latest 100 events of each of these visitors, newest first. */
export function readLatest(asking: Asking, keys: Keys): Promise<Row[]> {
  return readOf(
    asking,
    keys,
    (where) => `
    SELECT row_id AS rowid, visitor_key, device_id, id, link_id, scanned_at, recorded_at FROM touches WHERE ${where}
    QUALIFY row_number() OVER (PARTITION BY visitor_key ORDER BY scanned_at DESC, row_id DESC) <= ${MOST_INCLUDED}
    ORDER BY scanned_at DESC, row_id DESC`,
  );
}

/** The latest event of each device of these visitors, with all columns, the latest first. */
export function readDevices(asking: Asking, keys: Keys): Promise<Row[]> {
  return readOf(
    asking,
    keys,
    (where) => `
    SELECT * FROM touches WHERE row_id IN (
      SELECT arg_max(row_id, (scanned_at, row_id)) FROM touches WHERE ${where} GROUP BY device_key)
    ORDER BY scanned_at DESC, row_id DESC`,
  );
}

async function readOf({ duck, signal, scope }: Asking, keys: Keys, sql: (where: string) => string): Promise<Row[]> {
  if (keys.length === 0) return [];
  const asked = "(SELECT unnest($keys))";
  const where = `${scope.sql} AND ${DEVICES_OF(asked)} AND visitor_key IN ${asked}`;
  return duck.rows(sql(where), { ...scope.params, keys }, signal);
}
