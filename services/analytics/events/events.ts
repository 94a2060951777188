import type { Asking } from "../asking.ts";
import type { Cursor } from "../cursor.ts";
import { deviceKey } from "../device-key.ts";
import type { Row } from "../engine/query.ts";
import { readWatermark } from "../feed/watermark.ts";
import { asOf } from "../scope.ts";

/** A page of rows, and how many match in all. */
export interface Page {
  rows: Row[];
  hasMore: boolean;
  total: number;
  /** The page shows what stood on the log up to this position. */
  upTo: number;
}

/** Reads one page, newest first, ties by id; it begins exactly after the last row of the one before. */
export async function readEvents(asking: Asking, page: { after: Cursor | undefined; size: number }): Promise<Page> {
  const { duck, signal } = asking;
  const { after, size } = page;
  const upTo = after?.upTo ?? (await readWatermark(duck)).position;
  const scope = asOf(asking.scope, upTo);
  const beyond = " AND scanned_at <= $key AND (scanned_at < $key OR id < $last)";
  const [begin, params] =
    after === undefined ? ["", scope.params] : [beyond, { ...scope.params, key: BigInt(after.key), last: after.id }];
  const order = "ORDER BY scanned_at DESC, id DESC";
  // First the rows by narrow columns, then all columns of these rows.
  const sql = `SELECT * FROM touches WHERE row_id IN (
    SELECT rowid FROM events WHERE ${scope.sql}${begin} ${order} LIMIT ${size + 1}) ${order}`;
  const [rows, total] = await Promise.all([
    duck.rows(sql, params, signal),
    after?.total ?? countEvents({ ...asking, scope }),
  ]);
  return { rows: rows.slice(0, size), hasMore: rows.length > size, total, upTo };
}

/** The row of one event that the caller sees; undefined when there is none. */
export async function findEvent({ duck, signal, scope }: Asking, id: string): Promise<Row | undefined> {
  const sql = `SELECT * FROM touches WHERE row_id IN (SELECT rowid FROM events WHERE ${scope.sql} AND id = $id)`;
  const [row] = await duck.rows(sql, { ...scope.params, id }, signal);
  return row;
}

async function countEvents({ duck, signal, scope }: Asking): Promise<number> {
  const [row] = await duck.rows(`SELECT count(*) AS total FROM events WHERE ${scope.sql}`, scope.params, signal);
  return Number(row?.total ?? 0);
}

/**
 * Those events (by id) that were their device's first event of their link, among the devices of `rows`; of two in the
 * same millisecond the one that arrived first. A late event may become the first, so this is decided when it is read.
 * `asking` has the scope of the caller without narrowing.
 */
export async function readFirsts({ duck, signal, scope }: Asking, rows: readonly Row[]): Promise<Set<string>> {
  const known = rows.filter((row) => row.device_id !== null);
  if (known.length === 0) return new Set();
  const newest = known.reduce((most, row) => Math.max(most, Number(row.scanned_at)), Number.NEGATIVE_INFINITY);
  const params = { ...scope.params, newest: BigInt(newest), keys: distinct(known, "device_id").map(deviceKey) };
  const sql = `SELECT arg_min(id, (scanned_at, rowid)) AS first FROM events WHERE ${scope.sql}
    AND scanned_at <= $newest AND device_key IN (SELECT unnest($keys)) GROUP BY link_id, device_key`;
  return new Set((await duck.rows(sql, params, signal)).map((row) => String(row.first)));
}

/** The different values of a column. */
export function distinct(rows: readonly Row[], column: string): string[] {
  return [...new Set(rows.map((row) => String(row[column])))];
}
