import { setImmediate as nextTurn } from "node:timers/promises";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { Row } from "../engine/query.ts";
import type { FieldKind } from "../fields/fields.ts";
import { type Column, columnsOf, type Plan } from "./plan.ts";

/** So many values are turned into JSON before other work has its turn. */
const CELLS_AT_ONCE = 5_000;

/** The answer of a plan from the rows that its statements gave. */
export async function answerOf(plan: Plan, { rows, totals }: { rows: readonly Row[]; totals: Row }) {
  const columns = columnsOf(plan);
  const numbers = plan.fields.length > 0 ? [] : columns.slice(columns.length - plan.aggregates.length);
  return {
    columns: columns.map(({ name, kind }) => ({ name, type: kind })),
    rows: await allShown(rows.slice(0, plan.limit), columns),
    totals: shown(totals, numbers),
    totalCount: BigInt(Number(totals.n ?? 0)),
    truncated: plan.fields.length === 0 && rows.length > plan.limit,
  };
}

async function allShown(rows: readonly Row[], columns: readonly Column[]): Promise<JsonObject[]> {
  const all: JsonObject[] = [];
  const atOnce = Math.ceil(CELLS_AT_ONCE / columns.length);
  for (const row of rows) {
    all.push(shown(row, columns));
    if (all.length % atOnce === 0) await nextTurn();
  }
  return all;
}

function shown(row: Row, columns: readonly Column[]): JsonObject {
  return Object.fromEntries(columns.map(({ name, kind }, index) => [name, valueIn(row[`c${index}`], kind)]));
}

function valueIn(value: unknown, kind: FieldKind): JsonValue {
  if (value === null || value === undefined) return null;
  if (kind === "time") return new Date(Number(value)).toISOString();
  if (kind === "strings") return [...((value as { items?: readonly unknown[] }).items ?? [])].map(String);
  if (typeof value === "boolean") return value;
  if (kind !== "number") return String(value);
  // A decimal of DuckDB has its own text. JSON has no infinite numbers.
  const number = Number(typeof value === "object" ? String(value) : value);
  return Number.isFinite(number) ? number : null;
}
