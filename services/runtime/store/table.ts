import type { StatementSync } from "node:sqlite";
import type { Doc, FieldKind, Index, Model } from "../model.ts";
import type { Scalar } from "./condition.ts";
import type { Fields } from "./document.ts";

/** What SQLite takes as a parameter. */
export type Bindable = string | number | null;

/** A model as a table: one column a field that occurs in an index, the whole document as JSON. */
export interface Table {
  model: Model<Doc>;
  /** Quoted. */
  name: string;
  /** Fields with a column of their own. */
  columns: readonly string[];
  /** The SQL of a declared field: its column, or its place in the JSON. */
  sql: ReadonlyMap<string, string>;
  /** The statements of every write, built once. */
  statements: { get: string; insert: string; delete: string; update: string };
}

/** Names of the columns that every table has. */
const taken = new Set(["seq", "rowid", "oid", "_rowid_", "ws", "doc"]);

/** The table of a model. Throws when the model cannot be one, saying why. */
export function tableOf(model: Model<Doc>): Table {
  checkModel(model);
  const indexed = new Set(model.indexes.flatMap((index) => index.fields));
  const columns = Object.keys(model.fields).filter((field) => indexed.has(field));
  const sql = new Map([
    ["id", "id"],
    ["version", "version"],
  ]);
  for (const field in model.fields)
    sql.set(field, indexed.has(field) ? quote(field) : `json_extract(doc, '$.${quote(field)}')`);
  return { model, name: quote(model.name), columns, sql, statements: statementsOf(quote(model.name), columns) };
}

function statementsOf(name: string, columns: readonly string[]): Table["statements"] {
  const named = columns.map((column) => `, ${quote(column)}`).join("");
  const marks = ", ?".repeat(columns.length);
  return {
    get: `SELECT ${rowColumns} FROM ${name} WHERE ws = ? AND id = ?`,
    insert: `INSERT INTO ${name} (ws, id, version, doc${named}) VALUES (?, ?, 1, ?${marks}) ON CONFLICT DO NOTHING`,
    delete: `DELETE FROM ${name} WHERE ws = ? AND id = ?`,
    update: `UPDATE OR IGNORE ${name} SET version = ?, doc = ? WHERE seq = ?`,
  };
}

function checkModel(model: Model<Doc>): void {
  if (!/^[a-z][a-zA-Z0-9_.-]*$/.test(model.name) || model.name.startsWith("sqlite_"))
    throw new Error(`${model.name} is not a name for a collection; use lower-case words joined by dots`);
  for (const field in model.fields) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(field)) throw new Error(`${model.name}: ${field} is not a name for a field`);
  }
  const lower = new Set<string>();
  for (const index of model.indexes) {
    if (index.fields.length === 0) throw new Error(`${model.name}: the index ${index.name} has no fields`);
    for (const field of index.fields) checkIndexed(model, index, field);
    if (lower.has(index.name.toLowerCase()) || !/^[A-Za-z0-9_.-]+$/.test(index.name))
      throw new Error(`${model.name}: ${index.name} is not a name for an index, or occurs twice`);
    lower.add(index.name.toLowerCase());
  }
}

function checkIndexed(model: Model<Doc>, index: Index, field: string): void {
  const where = `${model.name}: the index ${index.name}`;
  if (field === "id" || field === "version") {
    if (index.unique === true) throw new Error(`${where} is unique with ${field}; leave ${field} out or unique off`);
    return;
  }
  const kind = model.fields[field]?.kind;
  if (kind === undefined) throw new Error(`${where} names ${field}, which is not in the model`);
  if (kind === "object" || kind === "list") throw new Error(`${where} names ${field}, which is ${kind}`);
  if (taken.has(field.toLowerCase())) throw new Error(`${where} names ${field}; rename the field, the store needs it`);
  const twin = Object.keys(model.fields).find((one) => one !== field && one.toLowerCase() === field.toLowerCase());
  if (twin !== undefined) throw new Error(`${where} names ${field}, which differs from ${twin} by case only`);
}

/** A name as SQL. */
export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Declared type of a column. INTEGER keeps whole numbers whole and others as they are. */
export function columnType(kind: FieldKind | undefined): "TEXT" | "INTEGER" {
  return kind === "number" || kind === "boolean" ? "INTEGER" : "TEXT";
}

/** A field's value as its column holds it. */
export function columnValue(value: unknown): Bindable {
  if (value === undefined || value === null) return null;
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "object" ? JSON.stringify(value) : (value as string | number);
}

/** A value of a filter as a parameter. */
export function bindable(value: Scalar): string | number {
  return typeof value === "boolean" ? Number(value) : value;
}

/** A row as it is read: seq, id, version, doc. */
export type Row = [seq: number, id: string, version: number, doc: string];

/** The columns of a Row. */
export const rowColumns = "seq, id, version, doc";

/** The document of a row. */
export function docOf([, id, version, json]: Row): Doc & Fields {
  const doc = JSON.parse(json) as Doc & Fields;
  doc.id = id;
  doc.version = version;
  return doc;
}

/** The rows of a statement that selects rowColumns. */
export function rowsOf(statement: StatementSync, parameters: readonly Bindable[]): Row[] {
  return statement.all(...parameters) as unknown as Row[];
}
