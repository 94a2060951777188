import type { Doc } from "../model.ts";
import type { Query } from "../store.ts";
import { kindOf, type Test } from "./condition.ts";
import { type Bindable, bindable, columnValue, rowColumns, type Table } from "./table.ts";

/** SQL with its parameters. */
export interface Sql {
  text: string;
  parameters: Bindable[];
}

const signs = { eq: "=", ne: "IS NOT", gt: ">", gte: ">=", lt: "<", lte: "<=" } as const;

/** The condition `ws = ? AND …`. Only names of the model and fixed words become SQL; every value is a parameter. */
export function whereSql(table: Table, workspace: string, tests: readonly Test[]): Sql {
  const parameters: Bindable[] = [workspace];
  let text = "ws = ?";
  for (const test of tests) text += ` AND ${testSql(table, test, parameters)}`;
  return { text, parameters };
}

function testSql(table: Table, test: Test, parameters: Bindable[]): string {
  const sql = table.sql.get(test.field) as string;
  switch (test.operator) {
    case "exists":
      return test.value ? `${sql} IS NOT NULL` : `${sql} IS NULL`;
    case "in":
      parameters.push(JSON.stringify(test.value));
      return `${sql} IN (SELECT value FROM json_each(?))`;
    case "has": {
      parameters.push(test.value);
      const list = table.columns.includes(test.field) ? sql : `doc, '$."${test.field}"'`;
      return `EXISTS (SELECT 1 FROM json_each(${list}) WHERE value = ?)`;
    }
    default:
      parameters.push(bindable(test.value));
      return `${sql} ${signs[test.operator]} ?`;
  }
}

/** A key of the order: its field, its SQL and its direction. */
export interface SortKey {
  field: string;
  sql: string;
  descending: boolean;
}

/** The keys of a query's order. The last is always the id, in the direction of the one before it. */
export function sortKeys(table: Table, sort: Query<Doc>["sort"]): SortKey[] {
  const keys: SortKey[] = [];
  for (const [field, direction] of sort ?? []) {
    const kind = kindOf(table.model, field);
    if (kind === undefined || kind === "object" || kind === "list" || kind === "strings" || Math.abs(direction) !== 1)
      throw new Error(`${table.model.name}: documents cannot be sorted by ${field} ${direction}`);
    keys.push({ field, sql: table.sql.get(field) as string, descending: direction === -1 });
    if (field === "id") return keys;
  }
  keys.push({ field: "id", sql: "id", descending: keys.at(-1)?.descending ?? false });
  return keys;
}

/** ` ORDER BY …` of the keys. */
export function orderSql(keys: readonly SortKey[]): string {
  return ` ORDER BY ${keys.map(({ sql, descending }) => (descending ? `${sql} DESC` : sql)).join(", ")}`;
}

/** Selects rows: `LIMIT ? OFFSET ?` are the last two parameters. */
export function selectSql(table: Table, condition: string, order: string): string {
  return `SELECT ${rowColumns} FROM ${table.name} WHERE ${condition}${order} LIMIT ? OFFSET ?`;
}

/**
 * The conditions that together select what comes after a document in the order of the keys, nearest first. Each fixes a prefix
 * of the keys and ranges over the next one, so an index that serves the order serves each of them. Absent values are the lowest.
 */
export function after(keys: readonly SortKey[], last: Readonly<Record<string, unknown>>): Sql[] {
  const conditions: Sql[] = [];
  for (let length = keys.length - 1; length >= 0; length--) {
    const fixed = keys.slice(0, length).map(({ field, sql }) => same(sql, columnValue(last[field])));
    const { field, sql, descending } = keys[length] as SortKey;
    for (const beyond of beyonds({ sql, value: columnValue(last[field]), descending })) {
      const parts = [...fixed, beyond];
      conditions.push({
        text: parts.map(({ text }) => text).join(" AND "),
        parameters: parts.flatMap(({ parameters }) => parameters),
      });
    }
  }
  return conditions;
}

function same(sql: string, value: Bindable): Sql {
  return value === null ? { text: `${sql} IS NULL`, parameters: [] } : { text: `${sql} = ?`, parameters: [value] };
}

function beyonds({ sql, value, descending }: { sql: string; value: Bindable; descending: boolean }): Sql[] {
  if (!descending) {
    if (value === null) return [{ text: `${sql} IS NOT NULL`, parameters: [] }];
    return [{ text: `${sql} > ?`, parameters: [value] }];
  }
  if (value === null) return [];
  const lower = { text: `${sql} < ?`, parameters: [value] };
  return sql === "id" || sql === "version" ? [lower] : [lower, { text: `${sql} IS NULL`, parameters: [] }];
}
