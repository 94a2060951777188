import type { DatabaseSync } from "node:sqlite";
import type { Index } from "../model.ts";
import { kindOf } from "./condition.ts";
import { columnType, quote, type Table } from "./table.ts";

/** Version of the layout that this file describes; a file of a later one is refused. */
const LAYOUT = 1;

/** Makes or completes the tables, columns and indexes of all models, in one transaction. Data stay. */
export function migrate(db: DatabaseSync, tables: readonly Table[]): void {
  const { user_version: layout } = db.prepare("PRAGMA user_version").get() as { user_version: number };
  if (layout > LAYOUT) throw new Error("this data folder was written by a later version of Waymark; use that version");
  db.exec("BEGIN IMMEDIATE");
  try {
    db.exec(`PRAGMA user_version = ${LAYOUT}`);
    makeWatermarks(db);
    for (const table of tables) {
      db.exec(
        `CREATE TABLE IF NOT EXISTS ${table.name} (seq INTEGER PRIMARY KEY, ws TEXT NOT NULL, id TEXT NOT NULL,
          version INTEGER NOT NULL, doc TEXT NOT NULL, UNIQUE (ws, id))`,
      );
      dropStaleIndexes(db, table);
      alignColumns(db, table);
      for (const index of table.model.indexes) createIndex({ db, table, index });
    }
    estimate(db, tables);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

/** `begun` came later: a file without it has no step that was begun, and a release that does not know it leaves it behind. */
function makeWatermarks(db: DatabaseSync): void {
  const begun = "begun INTEGER NOT NULL DEFAULT 0";
  db.exec(
    `CREATE TABLE IF NOT EXISTS watermarks (name TEXT PRIMARY KEY, position INTEGER NOT NULL, ${begun}) WITHOUT ROWID`,
  );
  const columns = db.prepare("SELECT name FROM pragma_table_info('watermarks')").all() as { name: string }[];
  if (!columns.some(({ name }) => name === "begun")) db.exec(`ALTER TABLE watermarks ADD COLUMN ${begun}`);
}

function indexName(table: Table, index: Index): string {
  return quote(`${table.model.name}/${index.name}`);
}

function indexSql(table: Table, index: Index): string {
  const fields = index.fields.map((field) => table.sql.get(field) as string);
  const columns = index.unique === true || index.fields.includes("id") ? ["ws", ...fields] : ["ws", ...fields, "id"];
  const unique = index.unique === true ? "UNIQUE " : "";
  return `CREATE ${unique}INDEX ${indexName(table, index)} ON ${table.name} (${columns.join(", ")})`;
}

function dropStaleIndexes(db: DatabaseSync, table: Table): void {
  const wanted = new Set(table.model.indexes.map((index) => indexSql(table, index)));
  const found = db
    .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL")
    .all(table.model.name) as { name: string; sql: string }[];
  for (const { name, sql } of found) if (!wanted.has(sql)) db.exec(`DROP INDEX ${quote(name)}`);
}

/** Columns that no index needs any more go: they would not follow the documents. New ones are filled from the documents. */
function alignColumns(db: DatabaseSync, table: Table): void {
  const own = new Set(["seq", "ws", "id", "version", "doc"]);
  const found = db.prepare(`SELECT name, type FROM pragma_table_info(?)`).all(table.model.name) as unknown as Column[];
  const fits = ({ name, type }: Column) =>
    table.columns.includes(name) && columnType(table.model.fields[name]?.kind) === type;
  for (const column of found) {
    if (!own.has(column.name) && !fits(column)) db.exec(`ALTER TABLE ${table.name} DROP COLUMN ${quote(column.name)}`);
  }
  const kept = new Set(found.filter(fits).map(({ name }) => name));
  const added = table.columns.filter((name) => !kept.has(name));
  for (const name of added)
    db.exec(`ALTER TABLE ${table.name} ADD COLUMN ${quote(name)} ${columnType(table.model.fields[name]?.kind)}`);
  if (added.length === 0) return;
  const filled = added.map((name) => `${quote(name)} = json_extract(doc, '$.${quote(name)}')`);
  db.exec(`UPDATE ${table.name} SET ${filled.join(", ")}`);
}

/**
 * Tells SQLite's planner how selective the columns of each index are, in place of ANALYZE: without figures it takes a workspace for
 * a handful of rows and would walk through all of it; measured ones would change plans from one day to the next.
 * https://www.sqlite.org/fileformat2.html#stat1tab
 */
function estimate(db: DatabaseSync, tables: readonly Table[]): void {
  db.exec("ANALYZE watermarks; DELETE FROM sqlite_stat1");
  const insert = db.prepare("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)");
  const indexes = db.prepare("SELECT name FROM pragma_index_list(?)");
  for (const table of tables) {
    for (const { name } of indexes.all(table.model.name) as { name: string }[])
      insert.run(table.model.name, name, figures(db, table, name));
  }
  db.exec("ANALYZE sqlite_schema");
}

/** By which factor one more column narrows the rows that are alike in the columns before it. */
function narrowing(table: Table, column: string): number {
  if (column === "id") return 1_000_000;
  const kind = kindOf(table.model, column);
  return kind === "boolean" ? 2 : kind === "number" ? 200 : 500;
}

function figures(db: DatabaseSync, table: Table, index: string): string {
  const columns = db.prepare("SELECT name FROM pragma_index_info(?) ORDER BY seqno").all(index) as { name: string }[];
  let rows = 500_000;
  const alike = columns.map(({ name }) => {
    if (name !== "ws") rows = Math.max(1, Math.round(rows / narrowing(table, name)));
    return rows;
  });
  return [1_000_000, ...alike].join(" ");
}

interface Column {
  name: string;
  type: string;
}

function createIndex({ db, table, index }: { db: DatabaseSync; table: Table; index: Index }): void {
  const sql = indexSql(table, index);
  try {
    if (db.prepare("SELECT 1 FROM sqlite_schema WHERE sql = ?").get(sql) === undefined) db.exec(sql);
  } catch (cause) {
    const { name } = table.model;
    if (index.unique !== true || (cause as { errcode?: number }).errcode !== 2067) throw cause;
    throw new Error(`${name}: the index ${index.name} cannot be unique, documents share its fields`, { cause });
  }
}
