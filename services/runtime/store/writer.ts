import type { Doc } from "../model.ts";
import type { Change, Guard, Outcome, Progress, Write } from "../store.ts";
import { applyChange, copyObject } from "./change.ts";
import { meets, testsOf } from "./condition.ts";
import type { Connection } from "./connection.ts";
import { checkId, checkRequired, type Fields, newFields } from "./document.ts";
import { readOne } from "./reader.ts";
import type { Source } from "./scan.ts";
import { type Bindable, columnValue, quote, type Row, type Table } from "./table.ts";

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
  const values: Bindable[] = [workspace, id, JSON.stringify(fields)];
  for (const column of table.columns) values.push(columnValue(fields[column]));
  return connection.prepare(table.statements.insert).run(...values).changes === 1;
}

/** Reads, applies the change, writes back; the version counts up. */
export function updateDoc(source: Source, update: Update): Updated {
  const { connection, table, workspace } = source;
  checkId(table.model, update.id);
  const row = connection.prepare(table.statements.get).get(workspace, update.id) as unknown as Row | undefined;
  if (row === undefined) return update.upsert === undefined ? { kind: "unmet" } : makeDoc(source, update);
  const [seq, id, version, json] = row;
  const fields = JSON.parse(json) as Fields;
  if (!allows(source, update.guard, { fields, id, version })) return { kind: "unmet" };
  const before = table.columns.map((column) => columnValue(fields[column]));
  applyChange(table.model, fields, update.change);
  const { sql, values } = moved(table, fields, before);
  const written = connection.prepare(sql).run(version + 1, JSON.stringify(fields), ...values, seq);
  if (written.changes === 0) return { kind: "conflict", index: conflictOf(source, fields, id) };
  return { kind: "applied", doc: asDoc(fields, id, version + 1) };
}

/** The UPDATE that names only columns whose value is another now: an index that is not named is not written. */
function moved(table: Table, fields: Fields, before: readonly Bindable[]): { sql: string; values: Bindable[] } {
  let sets = "";
  const values: Bindable[] = [];
  table.columns.forEach((column, at) => {
    const value = columnValue(fields[column]);
    if (value === before[at]) return;
    sets += `, ${quote(column)} = ?`;
    values.push(value);
  });
  if (sets === "") return { sql: table.statements.update, values };
  return { sql: `UPDATE OR IGNORE ${table.name} SET version = ?, doc = ?${sets} WHERE seq = ?`, values };
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

function allows({ table }: Source, guard: Guard<Doc> | undefined, stored: Stored): boolean {
  if (guard === undefined) return true;
  const { id, version, fields } = stored;
  if (guard.version !== undefined && guard.version !== version) return false;
  if (guard.where === undefined) return true;
  return meets(
    (field) => (field === "id" ? id : field === "version" ? version : fields[field]),
    testsOf(table.model, guard.where),
  );
}

interface Stored {
  id: string;
  version: number;
  fields: Fields;
}

/** The unique index that stands against these fields. */
function conflictOf({ connection, table, workspace }: Source, fields: Fields, self = ""): string {
  for (const index of table.model.indexes) {
    if (index.unique !== true) continue;
    const values = index.fields.map((field) => columnValue(fields[field]));
    const condition = index.fields.map((field) => `${table.sql.get(field)} = ?`).join(" AND ");
    const sql = `SELECT 1 FROM ${table.name} WHERE ws = ? AND ${condition} AND id <> ?`;
    if (connection.prepare(sql).get(workspace, ...values, self) !== undefined) return index.name;
  }
  throw new Error(`${table.model.name}: a document was refused by an index that the model does not have`);
}

/** True when there was one. */
export function deleteDoc({ connection, table, workspace }: Source, id: string): boolean {
  return connection.prepare(table.statements.delete).run(workspace, id).changes === 1;
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
export function readWatermark({ prepare }: Connection, projection: string): number {
  const row = prepare("SELECT position FROM watermarks WHERE name = ?").get(projection);
  return row === undefined ? 0 : (row as unknown as [number])[0];
}

/** The position of a watermark, and how far a step that was begun there reaches. */
export function readProgress({ prepare }: Connection, projection: string): Progress {
  const row = prepare("SELECT position, begun FROM watermarks WHERE name = ?").get(projection);
  if (row === undefined) return { done: 0, begun: 0 };
  const [done, begun] = row as unknown as [number, number];
  return { done, begun: Math.max(done, begun) };
}

/** Notes that a step begins; false when the watermark is not at `from` or another step was begun there. */
export function beginStep({ prepare }: Connection, { projection, from, to }: Move): boolean {
  const sql = "UPDATE watermarks SET begun = ? WHERE name = ? AND position = ? AND (begun <= position OR begun = ?)";
  if (prepare(sql).run(to, projection, from, to).changes === 1) return true;
  if (from !== 0) return false;
  const made = prepare("INSERT INTO watermarks (name, position, begun) VALUES (?, 0, ?) ON CONFLICT DO NOTHING");
  return made.run(projection, to).changes === 1;
}

/** Moves a watermark; false when it was not at `from`. */
export function moveWatermark({ prepare }: Connection, { projection, from, to }: Move): boolean {
  const moved = prepare("UPDATE watermarks SET position = ?, begun = ? WHERE name = ? AND position = ?");
  if (moved.run(to, to, projection, from).changes === 1) return true;
  if (from !== 0) return false;
  const made = prepare("INSERT INTO watermarks (name, position, begun) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
  return made.run(projection, to, to).changes === 1;
}

interface Move {
  projection: string;
  from: number;
  to: number;
}
