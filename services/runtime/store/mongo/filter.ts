import type { Doc } from "../../model.ts";
import type { Guard, Query } from "../../store.ts";
import { kindOf, type Test, testsOf } from "../condition.ts";
import { keyOf, type Shelf } from "./shelf.ts";

/** A filter of MongoDB. */
export type Filter = Record<string, unknown>;

const signs = { eq: "$eq", ne: "$ne", gt: "$gt", gte: "$gte", lt: "$lt", lte: "$lte", in: "$in", has: "$eq" } as const;

/** The filter of a query: the workspace, and every test. */
export function filterOf(shelf: Shelf, tests: readonly Test[], sort: Query<Doc>["sort"] = []): Filter {
  const { workspace, prefix } = shelf;
  const filter: Filter = { _w: workspace };
  if (isByIdAlone(shelf, tests, sort)) filter._id = { $gte: prefix, $lt: `${prefix.slice(0, -1)}0` };
  for (const test of tests) {
    const isId = test.field === "id";
    const name = isId ? "_id" : test.field;
    const conditions = (filter[name] ?? {}) as Filter;
    filter[name] = conditions;
    if (test.operator === "exists") conditions.$exists = test.value;
    else conditions[signs[test.operator]] = isId ? prefixed(prefix, test.value) : test.value;
  }
  return filter;
}

/** True when no index of the model begins with what is asked for: then the ids of the workspace are the range to walk. */
function isByIdAlone({ model }: Shelf, tests: readonly Test[], sort: NonNullable<Query<Doc>["sort"]>): boolean {
  if (tests.some(({ field }) => field === "id")) return false;
  return !model.indexes.some(({ fields: [first] }) => {
    if (sort[0]?.[0] === first) return true;
    return tests.some(({ field, operator }) => field === first && operator !== "ne" && operator !== "exists");
  });
}

function prefixed(prefix: string, value: unknown): unknown {
  return Array.isArray(value) ? value.map((one) => prefix + one) : prefix + String(value);
}

/**
 * The filter of one document under a guard, or undefined when the guard asks the id. Nothing in it but the key is an equality in the
 * eyes of the server, because an upsert writes the equalities of its filter into the document that it makes.
 */
export function guardedFilter(shelf: Shelf, id: string, guard: Guard<Doc> | undefined): Filter | undefined {
  const filter: Filter = keyOf(shelf, id);
  const tests = testsOf(shelf.model, guard?.where);
  const conditions: Filter[] = [];
  if (guard?.version !== undefined) conditions.push(equal("version", guard.version));
  for (const test of tests) {
    if (test.field === "id") return undefined;
    conditions.push(conditionOf(test));
  }
  if (conditions.length === 1) return { ...filter, ...conditions[0] };
  return conditions.length === 0 ? filter : { ...filter, $and: conditions };
}

function conditionOf(test: Test): Filter {
  switch (test.operator) {
    case "eq":
      return equal(test.field, test.value);
    case "in":
      return test.value.length === 0
        ? { [test.field]: { $in: [] } }
        : { $or: test.value.map((value) => equal(test.field, value)) };
    case "has":
      return { [test.field]: { $elemMatch: { $gte: test.value, $lte: test.value } } };
    case "exists":
      return { [test.field]: { $exists: test.value } };
    default:
      return { [test.field]: { [signs[test.operator]]: test.value } };
  }
}

function equal(field: string, value: unknown): Filter {
  return { [field]: { $gte: value, $lte: value } };
}

/** A key of the order. */
export interface SortKey {
  /** As it is stored. */
  name: string;
  direction: 1 | -1;
}

/** The keys of a query's order. The last is always the id, in the direction of the one before it. */
export function sortKeys({ model }: Shelf, sort: Query<Doc>["sort"]): SortKey[] {
  const keys: SortKey[] = [];
  for (const [field, direction] of sort ?? []) {
    const kind = kindOf(model, field);
    if (kind === undefined || kind === "object" || kind === "list" || kind === "strings" || Math.abs(direction) !== 1)
      throw new Error(`${model.name}: documents cannot be sorted by ${field} ${direction}`);
    keys.push({ name: field === "id" ? "_id" : field, direction });
    if (field === "id") return keys;
  }
  keys.push({ name: "_id", direction: keys.at(-1)?.direction ?? 1 });
  return keys;
}

/**
 * The filters that together select what comes after a document in the order of the keys, nearest first. Each fixes a prefix of the
 * keys and ranges over the next one, so an index that serves the order serves each of them. Absent values are the lowest.
 */
export function after(keys: readonly SortKey[], last: Readonly<Record<string, unknown>>): Filter[] {
  const filters: Filter[] = [];
  for (let length = keys.length - 1; length >= 0; length--) {
    const fixed = keys.slice(0, length).map(({ name }) => ({ [name]: { $eq: last[name] ?? null } }));
    const { name, direction } = keys[length] as SortKey;
    for (const beyond of beyonds(name, last[name], direction)) filters.push({ $and: [...fixed, beyond] });
  }
  return filters;
}

function beyonds(name: string, value: unknown, direction: 1 | -1): Filter[] {
  if (direction === 1) return [{ [name]: value === undefined ? { $exists: true } : { $gt: value } }];
  if (value === undefined) return [];
  const lower = { [name]: { $lt: value } };
  return name === "_id" || name === "version" ? [lower] : [lower, { [name]: { $eq: null } }];
}
