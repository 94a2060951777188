import { setImmediate as nextTurn } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import type { Doc } from "../model.ts";
import type { Query, Where } from "../store.ts";
import type { Connection } from "./connection.ts";
import { translating } from "./failure.ts";
import { after, orderSql, type Sql, type SortKey, selectSql, sortKeys, whereSql } from "./query.ts";
import { type Bindable, docOf, type Row, rowColumns, rowsOf, type Table } from "./table.ts";

/** Rows that are read before others get a turn of the event loop. */
const CHUNK = 500;

type Found = Doc & Record<string, unknown>;

/** A place to read from: a table of a connection, one workspace of it. */
export interface Source {
  connection: Connection;
  table: Table;
  workspace: string;
}

/** The document of this id. */
export function readOne({ connection, table, workspace }: Source, id: string): Found | undefined {
  const statement = connection.prepare(`SELECT ${rowColumns} FROM ${table.name} WHERE ws = ? AND id = ?`);
  const row = translating(() => statement.get(workspace, id)) as unknown as Row | undefined;
  return row === undefined ? undefined : docOf(row);
}

/** The documents of these ids, as far as they exist. */
export async function readMany(source: Source, ids: readonly string[]): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  for (let from = 0; from < ids.length; from += CHUNK) {
    if (from > 0) await nextTurn();
    for (const id of ids.slice(from, from + CHUNK)) {
      const doc = found.has(id) ? undefined : readOne(source, id);
      if (doc !== undefined) found.set(id, doc);
    }
  }
  return found;
}

/** How many match. */
export function countRows({ connection, table, workspace }: Source, where: Where<Doc> | undefined): number {
  const { text, parameters } = whereSql(table, workspace, where);
  const statement = translating(() => connection.prepare(`SELECT count(*) FROM ${table.name} WHERE ${text}`));
  const [count] = translating(() => statement.get(...parameters)) as unknown as [number];
  return count;
}

/** The rows that match, in order, in chunks, none empty. Between chunks other work gets its turn. */
export async function* readRows(source: Source, query: Query<Doc>): AsyncGenerator<Found[]> {
  const { table, workspace } = source;
  const { limit = Number.MAX_SAFE_INTEGER, skip = 0 } = query;
  for (const number of [limit, skip]) {
    if (!Number.isSafeInteger(number) || number < 0)
      throw new Error(`${table.model.name}: limit and skip are whole numbers from 0 on`);
  }
  if (limit === 0) return;
  const where = whereSql(table, workspace, query.where);
  const keys = sortKeys(table, query.sort);
  const plan = { where, keys, limit, skip };
  yield* servesOrder(source, plan) ? byIndex(source, plan) : bySorting(source, plan);
}

/** All documents that match, in order. */
export async function readAll(source: Source, query: Query<Doc>): Promise<Found[]> {
  const all: Found[] = [];
  for await (const chunk of readRows(source, query)) for (const doc of chunk) all.push(doc);
  return all;
}

interface Plan {
  where: Sql;
  keys: readonly SortKey[];
  limit: number;
  skip: number;
}

const orders = new WeakMap<Connection, LRUCache<string, boolean>>();

/** True when an index gives the order, so that a page costs what it shows. SQLite is asked once for each shape of query. */
function servesOrder({ connection, table }: Source, { where, keys }: Plan): boolean {
  let known = orders.get(connection);
  if (known === undefined) {
    known = new LRUCache({ max: 1_024 });
    orders.set(connection, known);
  }
  const sql = selectSql(table, where.text, orderSql(keys));
  let serves = known.get(sql);
  if (serves === undefined) {
    const explain = translating(() => connection.db.prepare(`EXPLAIN QUERY PLAN ${sql}`));
    const steps = explain.all(...where.parameters, 1, 0) as { detail: string }[];
    serves = !steps.some(({ detail }) => detail.includes("TEMP B-TREE FOR"));
    known.set(sql, serves);
  }
  return serves;
}

/** Follows the index: each chunk begins after the last document of the one before. */
async function* byIndex(source: Source, plan: Plan): AsyncGenerator<Found[]> {
  const seen = plan.keys.length > 1 ? seenRows() : undefined;
  let left = plan.limit;
  let rows = rowsAt(source, { plan, conditions: [{ text: "", parameters: [] }], limit: Math.min(left, CHUNK) });
  while (rows.length > 0) {
    const docs = (seen === undefined ? rows : rows.filter(([seq]) => seen(seq))).map(docOf);
    left -= docs.length;
    if (docs.length > 0) yield docs;
    if (left === 0 || rows.length < CHUNK) return;
    await nextTurn();
    const conditions = after(plan.keys, docOf(rows.at(-1) as Row));
    rows = rowsAt(source, { plan: { ...plan, skip: 0 }, conditions, limit: Math.min(left, CHUNK) });
  }
}

interface Chunk {
  plan: Plan;
  conditions: readonly Sql[];
  limit: number;
}

function rowsAt({ connection, table }: Source, { plan, conditions, limit }: Chunk): Row[] {
  const { where, keys, skip } = plan;
  const order = orderSql(keys);
  const rows: Row[] = [];
  for (const { text, parameters } of conditions) {
    const sql = selectSql(table, text === "" ? where.text : `${where.text} AND ${text}`, order);
    const bound = [...where.parameters, ...parameters, limit - rows.length, skip];
    rows.push(...translating(() => rowsOf(connection.prepare(sql), bound)));
    if (rows.length >= limit) break;
  }
  return rows;
}

/** Sorts row numbers first, then reads the documents chunk by chunk. */
async function* bySorting(source: Source, { where, keys, limit, skip }: Plan): AsyncGenerator<Found[]> {
  const { connection, table } = source;
  const sql = `SELECT seq FROM ${table.name} WHERE ${where.text}${orderSql(keys)} LIMIT ? OFFSET ?`;
  const bound: Bindable[] = [...where.parameters, Math.min(limit, Number.MAX_SAFE_INTEGER), skip];
  const found = translating(() => connection.prepare(sql).all(...bound)) as unknown as [number][];
  const one = connection.prepare(`SELECT ${rowColumns} FROM ${table.name} WHERE seq = ? AND ws = ?`);
  for (let from = 0; from < found.length; from += CHUNK) {
    if (from > 0) await nextTurn();
    const docs: Found[] = [];
    for (const [seq] of found.slice(from, from + CHUNK)) {
      const row = translating(() => one.get(seq, source.workspace)) as unknown as Row | undefined;
      if (row !== undefined) docs.push(docOf(row));
    }
    if (docs.length > 0) yield docs;
  }
}

/** Tells whether a row number is new. One bit a row: documents that move ahead of a long reading are not shown twice. */
function seenRows(): (seq: number) => boolean {
  const pages = new Map<number, Uint8Array>();
  return (seq) => {
    const at = seq % 32_768;
    const number = (seq - at) / 32_768;
    let page = pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(4_096);
      pages.set(number, page);
    }
    const mask = 1 << (at & 7);
    const byte = page[at >> 3] as number;
    page[at >> 3] = byte | mask;
    return (byte & mask) === 0;
  };
}
