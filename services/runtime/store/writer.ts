import type { Doc } from "../model.ts";
import type { Change, Guard, Outcome, Write } from "../store.ts";
import { applyChange, copyObject } from "./change.ts";
import { meets, testsOf } from "./condition.ts";
import { checkId, checkRequired, type Fields, newFields } from "./document.ts";
import { readOne, type Source } from "./reader.ts";
import { type Bindable, columnValue, quote, type Row, rowColumns } from "./table.ts";

type Found = Doc & Fields;

/** An update as the port gives it. */
export interface Update {
  id: string;
  change: Change<Doc>;
  guard?: Guard<Doc>;
  upsert?: Fields;
}

/** What an update did; `doc` is the document after it. */
export type Updated = { kind: "applied"; doc: Found } | { kind: "conflict"; index: string } | { kind: "unmet" };

/** Inserts by id; never overwrites. */
export function insertDoc(source: Source, doc: Doc): Outcome<Doc> {
  const { model } = source.table;
  checkId(model, doc.id);
  const fields = newFields(model, doc as Found);
  checkRequired(model, fields);
  if (insertRow(source, doc.id, fields)) return { kind: "applied" };
  const existing = readOne(source, doc.id);
  if (existing !== undefined) return { kind: "exists", doc: existing };
  return { kind: "conflict", index: conflictOf(source, fields) };
}

function insertRow({ connection, table, workspace }: Source, id: string, fields: Fields): boolean {
  let columns = "ws, id, version, doc";
  let marks = "?, ?, 1, ?";
  const values: Bindable[] = [workspace, id, JSON.stringify(fields)];
  for (const column of table.columns) {
    columns += `, ${quote(column)}`;
    marks += ", ?";
    values.push(columnValue(fields[column]));
  }
  const sql = `INSERT INTO ${table.name} (${columns}) VALUES (${marks}) ON CONFLICT DO NOTHING`;
  return connection.prepare(sql).run(...values).changes === 1;
}

/** Reads, applies the change, writes back; the version counts up. */
export function updateDoc(source: Source, update: Update): Updated {
  const { connection, table, workspace } = source;
  checkId(table.model, update.id);
  const statement = connection.prepare(`SELECT ${rowColumns} FROM ${table.name} WHERE ws = ? AND id = ?`);
  const row = statement.get(workspace, update.id) as unknown as Row | undefined;
  if (row === undefined) return update.upsert === undefined ? { kind: "unmet" } : makeDoc(source, update);
  const [seq, id, version, json] = row;
  const fields = JSON.parse(json) as Fields;
  if (!allows(source, update.guard, { ...fields, id, version })) return { kind: "unmet" };
  const before = table.columns.map((column) => columnValue(fields[column]));
  const touched = applyChange(table.model, fields, update.change);
  const sets: string[] = [];
  const values: Bindable[] = [version + 1, JSON.stringify(fields)];
  table.columns.forEach((column, at) => {
    if (!touched.has(column)) return;
    const value = columnValue(fields[column]);
    if (value === before[at]) return;
    sets.push(`, ${quote(column)} = ?`);
    values.push(value);
  });
  const sql = `UPDATE OR IGNORE ${table.name} SET version = ?, doc = ?${sets.join("")} WHERE seq = ?`;
  if (connection.prepare(sql).run(...values, seq).changes === 0)
    return { kind: "conflict", index: conflictOf(source, fields, id) };
  return { kind: "applied", doc: asDoc(fields, id, version + 1) };
}

function makeDoc(source: Source, { id, change, guard, upsert }: Update): Updated {
  const { model } = source.table;
  if ((guard?.version ?? 0) !== 0) return { kind: "unmet" };
  const fields = newFields(model, upsert as Fields);
  for (const name in fields) fields[name] = copyObject(fields[name]);
  applyChange(model, fields, change);
  checkRequired(model, fields);
  if (!insertRow(source, id, fields)) return { kind: "conflict", index: conflictOf(source, fields) };
  return { kind: "applied", doc: asDoc(fields, id, 1) };
}

function asDoc(fields: Fields, id: string, version: number): Found {
  fields.id = id;
  fields.version = version;
  return fields as Found;
}

function allows({ table }: Source, guard: Guard<Doc> | undefined, doc: Found): boolean {
  if (guard === undefined) return true;
  if (guard.version !== undefined && guard.version !== doc.version) return false;
  return guard.where === undefined || meets(doc, testsOf(table.model, guard.where));
}

/** The unique index that stands against these fields. */
function conflictOf({ connection, table, workspace }: Source, fields: Fields, self = ""): string {
  for (const index of table.model.indexes) {
    if (index.unique !== true) continue;
    const values = index.fields.map((field) => columnValue(fields[field]));
    if (values.includes(null)) continue;
    const condition = index.fields.map((field) => `${table.sql.get(field)} = ?`).join(" AND ");
    const sql = `SELECT 1 FROM ${table.name} WHERE ws = ? AND ${condition} AND id <> ?`;
    if (connection.prepare(sql).get(workspace, ...values, self) !== undefined) return index.name;
  }
  throw new Error(`${table.model.name}: a document was refused by an index that the model does not have`);
}

/** True when there was one. */
export function deleteDoc({ connection, table, workspace }: Source, id: string): boolean {
  const statement = connection.prepare(`DELETE FROM ${table.name} WHERE ws = ? AND id = ?`);
  return statement.run(workspace, id).changes === 1;
}

/** Writes in order; all or nothing only when one of them is refused by the model. */
export function writeAll(source: Source, writes: readonly Write<Doc>[]): Outcome<Doc>[] {
  const { db, prepare } = source.connection;
  prepare("SAVEPOINT bulk").run();
  try {
    const outcomes = writes.map((write) => writeOne(source, write));
    prepare("RELEASE bulk").run();
    return outcomes;
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK TO bulk; RELEASE bulk");
    throw error;
  }
}

function writeOne(source: Source, write: Write<Doc>): Outcome<Doc> {
  switch (write.kind) {
    case "insert":
      return insertDoc(source, write.doc);
    case "update": {
      const updated = updateDoc(source, write as Update);
      return updated.kind === "applied" ? { kind: "applied" } : updated;
    }
    case "delete":
      return deleteDoc(source, write.id) ? { kind: "applied" } : { kind: "unmet" };
  }
}

/** The position of a watermark; 0 before the first. */
export function readWatermark({ connection }: Pick<Source, "connection">, projection: string): number {
  const row = connection.prepare("SELECT position FROM watermarks WHERE name = ?").get(projection);
  return row === undefined ? 0 : (row as unknown as [number])[0];
}

/** Moves a watermark; false when it was not at `from`. */
export function moveWatermark({ connection }: Pick<Source, "connection">, projection: string, [from, to]: [number, number]): boolean {
  const moved = connection.prepare("UPDATE watermarks SET position = ? WHERE name = ? AND position = ?");
  if (moved.run(to, projection, from).changes === 1) return true;
  if (from !== 0) return false;
  const made = connection.prepare("INSERT INTO watermarks (name, position) VALUES (?, ?) ON CONFLICT DO NOTHING");
  return made.run(projection, to).changes === 1;
}
