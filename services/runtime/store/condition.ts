import type { Doc, FieldKind, Model } from "../model.ts";
import type { Where } from "../store.ts";

/** What a filter compares with. */
export type Scalar = string | number | boolean;

/** One test of one field; all tests of a filter must hold. */
export type Test =
  | { field: string; operator: "eq" | "ne" | "gt" | "gte" | "lt" | "lte"; value: Scalar }
  | { field: string; operator: "has"; value: string }
  | { field: string; operator: "in"; value: readonly Scalar[] }
  | { field: string; operator: "exists"; value: boolean };

const comparisons = new Set(["eq", "ne", "gt", "gte", "lt", "lte"]);

/** The kind of a field that documents of the model have, `id` and `version` too; undefined when it is not declared. */
export function kindOf(model: Model<Doc>, field: string): FieldKind | undefined {
  if (field === "id") return "string";
  if (field === "version") return "number";
  return Object.hasOwn(model.fields, field) ? model.fields[field]?.kind : undefined;
}

/** The tests of a filter, each checked against the model. What is undefined is no condition. */
export function testsOf(model: Model<Doc>, where: Where<Doc> | undefined): Test[] {
  const tests: Test[] = [];
  for (const field in where) {
    const condition = (where as Record<string, unknown>)[field];
    if (condition === undefined) continue;
    const kind = kindOf(model, field);
    if (kind === undefined || kind === "object" || kind === "list")
      throw new Error(`${model.name}: documents cannot be filtered by ${field}`);
    if (typeof condition !== "object" || condition === null || Array.isArray(condition)) {
      tests.push(testOf({ model, field, kind }, "eq", condition));
      continue;
    }
    for (const operator in condition) {
      const value = (condition as Record<string, unknown>)[operator];
      if (value !== undefined) tests.push(testOf({ model, field, kind }, operator, value));
    }
  }
  return tests;
}

interface Subject {
  model: Model<Doc>;
  field: string;
  kind: FieldKind;
}

function testOf(subject: Subject, operator: string, value: unknown): Test {
  const { field, kind } = subject;
  if (operator === "exists" && typeof value === "boolean") return { field, operator, value };
  if (kind === "strings") {
    if (operator === "has" && typeof value === "string") return { field, operator, value };
  } else if (operator === "in" && Array.isArray(value)) {
    if (value.every((one) => typeof one === kind))
      return value.length === 1 ? { field, operator: "eq", value: value[0] } : { field, operator, value };
  } else if (comparisons.has(operator) && typeof value === kind) {
    return { field, operator, value } as Test;
  }
  throw new Error(
    `${subject.model.name}: the filter ${operator} on ${field} (${kind}) does not take ${describe(value)}`,
  );
}

function describe(value: unknown): string {
  return Array.isArray(value) ? "this list" : value === null ? "null" : `a value of type ${typeof value}`;
}

/** True when the document meets all tests. It decides as the engines do: strings compare by code point, a missing field meets only `ne` and `exists: false`. */
export function meets(read: (field: string) => unknown, tests: readonly Test[]): boolean {
  for (const test of tests) if (!holds(read(test.field), test)) return false;
  return true;
}

function holds(stored: unknown, test: Test): boolean {
  if (test.operator === "exists") return (stored !== undefined && stored !== null) === test.value;
  if (stored === undefined || stored === null) return test.operator === "ne";
  switch (test.operator) {
    case "has":
      return (stored as readonly string[]).includes(test.value);
    case "in":
      return test.value.includes(stored as Scalar);
    case "eq":
      return stored === test.value;
    case "ne":
      return stored !== test.value;
    case "gt":
      return compare(stored as Scalar, test.value) > 0;
    case "gte":
      return compare(stored as Scalar, test.value) >= 0;
    case "lt":
      return compare(stored as Scalar, test.value) < 0;
    case "lte":
      return compare(stored as Scalar, test.value) <= 0;
  }
}

/** Order of two values of one kind: numbers by size, strings by code point. */
export function compare(a: Scalar, b: Scalar): number {
  if (typeof a === "string" && typeof b === "string") return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return Number(a) - Number(b);
}
