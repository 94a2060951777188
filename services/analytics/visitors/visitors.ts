import { SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Asking } from "../asking.ts";
import type { Cursor } from "../cursor.ts";
import { deviceKey } from "../device-key.ts";
import type { Params, Row } from "../engine/query.ts";
import type { Page } from "../events/events.ts";
import { readWatermark } from "../feed/watermark.ts";
import { openValues } from "../fields/values.ts";
import { asOf, type Scope } from "../scope.ts";
import { chosenBy, type Filter } from "./filters.ts";
import { emailOf } from "./rules.ts";

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
  /** What is known of them; all must hold. */
  filters: readonly Filter[];
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
  const { before, sql, params } = grouped(asOf(asking.scope, upTo), question);
  const [way, beyond] = direction === SortDirection.ASC ? ["ASC", ">"] : ["DESC", "<"];
  const order = `ORDER BY ${sort} ${way}, visitor_key ${way}`;
  const where = after === undefined ? "" : `WHERE (${sort}, visitor_key) ${beyond} ($key, $last)`;
  const rows = await duck.rows(
    `WITH ${before}people AS MATERIALIZED (${sql}), page AS (
       SELECT *, (SELECT count(*) FROM people) AS total FROM people ${where} ${order} LIMIT ${size + 1})
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

const IDENTITIES = `(SELECT device_key, visitor_key FROM identities WHERE ${OWN})`;

/** Visitors of a relation with their ids and what is known of them. */
function named(relation: string): string {
  return `SELECT ${relation}.*, coalesce(v.visitor_id, 'vis_' || e.device_id) AS visitor_id, v.email, v.phone, v.first_name,
      v.last_name, a.attributes
    FROM ${relation} JOIN events e ON e.rowid = ${relation}.one_row
    LEFT JOIN (SELECT * FROM visitors WHERE ${OWN}) v ON v.visitor_key = ${relation}.visitor_key
    LEFT JOIN (${ATTRIBUTES}) a ON a.visitor_key = ${relation}.visitor_key`;
}

/**
 * One row a visitor. Devices are grouped before it is asked whose they are, which is asked of a row a device and not of each
 * event; only what is sorted by or asked for is read: links and names are dear. `before`: what else goes into its WITH.
 */
function grouped(scope: Scope, { linkId, search, email, filters, sort }: VisitorQuestion) {
  const values = openValues("f");
  const params: Record<string, Params[string]> = { ...scope.params };
  const conditions = [scope.sql, "device_key IS NOT NULL"];
  if (linkId !== undefined) {
    conditions.push(
      DEVICES_OF(`(SELECT coalesce(i.visitor_key, e.device_key) FROM (SELECT DISTINCT device_key FROM events
      WHERE ${scope.sql} AND link_id = $link AND device_key IS NOT NULL) e LEFT JOIN ${IDENTITIES} i USING (device_key))`),
    );
    params.link = linkId;
  }
  if (email !== undefined) {
    conditions.push(DEVICES_OF(`(SELECT visitor_key FROM visitors WHERE ${OWN} AND email = $email)`));
    params.email = emailOf(email);
  }
  if (search !== undefined) {
    conditions.push(DEVICES_OF(found(scope)));
    params.search = search;
  }
  const chosen = filters.length === 0 ? undefined : chosenBy(filters, { own: OWN, values });
  if (chosen !== undefined) {
    const devices = DEVICES_OF("(SELECT visitor_key FROM chosen)");
    conditions.push(chosen.isExcluding ? `NOT (${devices})` : devices);
  }
  const where = conditions.join(" AND ");
  const sql = sort === "links" ? withLinks(peopleOf(where), where) : peopleOf(where);
  return {
    before: chosen === undefined ? "" : `chosen AS MATERIALIZED (${chosen.sql}), `,
    sql,
    params: { ...params, ...values.params },
  };
}

/** Rows a device as rows a visitor: those that belong to nobody known are visitors as they are. */
function peopleOf(where: string): string {
  return `WITH devices AS MATERIALIZED (SELECT device_key, count(*) AS visits, min(scanned_at) AS first_at,
      max(scanned_at) AS last_at, min(rowid) AS one_row FROM events WHERE ${where} GROUP BY device_key)
    SELECT device_key AS visitor_key, visits, first_at, last_at, 1::BIGINT AS devices, one_row FROM devices
      WHERE device_key NOT IN (SELECT device_key FROM ${IDENTITIES})
    UNION ALL
    SELECT visitor_key, sum(visits)::BIGINT, min(first_at), max(last_at), count(*), min(one_row)
      FROM devices JOIN ${IDENTITIES} USING (device_key) GROUP BY visitor_key`;
}

/** Visitors with how many links each met. A link stands for itself by 64 bits. */
function withLinks(people: string, where: string): string {
  return `WITH met AS MATERIALIZED (SELECT device_key, hash(link_id) AS link FROM events WHERE ${where} GROUP BY ALL)
    SELECT * FROM (${people}) JOIN (
      SELECT device_key AS visitor_key, count(*) AS links FROM met
        WHERE device_key NOT IN (SELECT device_key FROM ${IDENTITIES}) GROUP BY 1
      UNION ALL
      SELECT visitor_key, count(DISTINCT link) FROM met JOIN ${IDENTITIES} USING (device_key) GROUP BY 1) USING (visitor_key)`;
}

/** Visitors with a name, an address or a phone number, or a device with a name, that holds what is searched for. */
function found(scope: Scope): string {
  const names = "concat_ws(' ', email, phone, first_name, last_name)";
  return `(SELECT visitor_key FROM visitors WHERE ${OWN} AND contains(lower(${names}), lower($search))
    UNION SELECT coalesce(i.visitor_key, e.device_key) FROM (SELECT DISTINCT device_key FROM events
      WHERE ${scope.sql} AND contains(lower('vis_' || device_id), lower($search))) e LEFT JOIN ${IDENTITIES} i USING (device_key))`;
}

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
    SELECT visitor_key, device_id, id, link_id, scanned_at, recorded_at FROM touches WHERE ${where}
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
