import { setImmediate as nextTurn } from "node:timers/promises";
import type { Doc } from "../model.ts";
import type { Query, Where } from "../store.ts";
import { testsOf } from "./condition.ts";
import { translating } from "./failure.ts";
import { whereSql } from "./query.ts";
import { CHUNK, type Found, type Source, scan } from "./scan.ts";
import { docOf, type Row } from "./table.ts";

/** The document of this id. */
export function readOne({ connection, table, workspace }: Source, id: string): Found | undefined {
  const { get } = table.statements;
  const row = translating(() => connection.prepare(get).get(workspace, id)) as unknown as Row | undefined;
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
  const { text, parameters } = whereSql(table, workspace, testsOf(table.model, where));
  const sql = `SELECT count(*) FROM ${table.name} WHERE ${text}`;
  const [count] = translating(() => connection.prepare(sql).get(...parameters)) as unknown as [number];
  return count;
}

/** All documents that match, in order. */
export async function readAll(source: Source, query: Query<Doc>): Promise<Found[]> {
  const all: Found[] = [];
  for await (const chunk of scan(source, query)) for (const doc of chunk) all.push(doc);
  return all;
}
