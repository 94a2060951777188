import { setImmediate as nextTurn } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import type { Doc } from "../model.ts";
import type { Query } from "../store.ts";
import { type Test, testsOf } from "./condition.ts";
import type { Connection } from "./connection.ts";
import { translating } from "./failure.ts";
import { merge } from "./merge.ts";
import { after, orderSql, type SortKey, type Sql, selectSql, sortKeys, whereSql } from "./query.ts";
import { type Bindable, docOf, type Row, rowColumns, rowsOf, type Table } from "./table.ts";

/** Rows that are read before others get a turn of the event loop. */
export const CHUNK = 500;

/** Characters of JSON that are aimed at in a chunk, when documents are large. */
const CHUNK_CHARACTERS = 1_000_000;

/** Lists in a filter up to this length are read value by value. */
const VALUES = 64;

/** A document as it is read. */
export type Found = Doc & Record<string, unknown>;

/** A place to read from: a table of a connection, one workspace of it. */
export interface Source {
  connection: Connection;
  table: Table;
  workspace: string;
}

interface Plan {
  where: Sql;
  keys: readonly SortKey[];
  limit: number;
  skip: number;
  /** Rows of the first chunk. */
  first: number;
  /** Tells whether a row was not shown yet. */
  isNew: (seq: number) => boolean;
}

/**
 * The documents that match, in order, in chunks, none empty. Between chunks other work gets its turn. Nothing is held open
 * meanwhile; a document that moves ahead of the reading is not shown again.
 */
export async function* scan(source: Source, query: Query<Doc>): AsyncGenerator<Found[]> {
  const { table, workspace } = source;
  const { limit = Number.MAX_SAFE_INTEGER, skip = 0 } = query;
  for (const number of [limit, skip]) {
    if (!Number.isSafeInteger(number) || number < 0)
      throw new Error(`${table.model.name}: limit and skip are whole numbers from 0 on`);
  }
  const tests = testsOf(table.model, query.where);
  const keys = sortKeys(table, query.sort);
  if (limit === 0) return;
  const isNew = limit > CHUNK ? seenRows() : () => true;
  const plan: Plan = { where: whereSql(table, workspace, tests), keys, limit, skip, first: CHUNK, isNew };
  if (servesOrder(source, plan)) return yield* byIndex(source, plan);
  const plans = valueByValue(source, { tests, plan });
  if (plans === undefined) return yield* bySorting(source, plan);
  yield* merge({ streams: plans.map((one) => byIndex(source, one)), keys, limit, skip, size: CHUNK });
}

/** One plan a value of a list in the filter, when an index gives the order for each of them but not for all together. */
function valueByValue(source: Source, { tests, plan }: { tests: readonly Test[]; plan: Plan }): Plan[] | undefined {
  const { table, workspace } = source;
  const list = tests.find((test) => test.operator === "in" && table.columns.includes(test.field));
  if (list === undefined || list.operator !== "in") return undefined;
  const values = [...new Set(list.value)];
  if (values.length === 0 || values.length > VALUES || plan.skip > CHUNK) return undefined;
  const first = Math.max(8, Math.floor(CHUNK / values.length));
  const isNew = seenRows();
  const plans = values.map((value) => {
    const one = tests.map((test): Test => (test === list ? { field: list.field, operator: "eq", value } : test));
    return { ...plan, where: whereSql(table, workspace, one), limit: plan.limit + plan.skip, skip: 0, first, isNew };
  });
  return servesOrder(source, plans[0] as Plan) ? plans : undefined;
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
  let left = plan.limit;
  let wanted = Math.min(left, plan.first);
  let rows = rowsAt(source, { plan, conditions: [{ text: "", parameters: [] }], limit: wanted });
  while (rows.length > 0) {
    const docs = rows.filter(([seq]) => plan.isNew(seq)).map(docOf);
    left -= docs.length;
    if (docs.length > 0) yield docs;
    if (left === 0 || rows.length < wanted) return;
    await nextTurn();
    wanted = Math.min(left, nextSize(rows, plan.first));
    const conditions = after(plan.keys, docOf(rows.at(-1) as Row));
    rows = rowsAt(source, { plan: { ...plan, skip: 0 }, conditions, limit: wanted });
  }
}

function nextSize(rows: readonly Row[], most: number): number {
  const characters = rows.reduce((sum, [, , , doc]) => sum + doc.length, 0);
  return Math.max(8, Math.min(most, Math.floor((CHUNK_CHARACTERS / characters) * rows.length)));
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
  const bound: Bindable[] = [...where.parameters, limit, skip];
  const found = translating(() => connection.prepare(sql).all(...bound)) as unknown as [number][];
  const one = `SELECT ${rowColumns} FROM ${table.name} WHERE seq = ? AND ws = ?`;
  for (let from = 0; from < found.length; from += CHUNK) {
    if (from > 0) await nextTurn();
    const docs: Found[] = [];
    for (const [seq] of found.slice(from, from + CHUNK)) {
      const row = translating(() => connection.prepare(one).get(seq, source.workspace)) as unknown as Row | undefined;
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
