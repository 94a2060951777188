import { SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import {
  type QueryAggregate,
  QueryInterval,
  type QueryOrder,
  type QueryRequest,
} from "#gen/waymark/analytics/v1/query_pb.ts";
import { type FieldKind, fieldOf, namesOf, type QueryField } from "../fields/fields.ts";
import type { From } from "../fields/levels.ts";
import { fail } from "../reasons.ts";

/** What a query asks for, checked: nothing in it is text of the caller but values that are bound later. */
export interface Plan {
  from: From;
  /** Columns of groups, in order. */
  groups: QueryField[];
  aggregates: Aggregate[];
  /** Columns of single rows; then there are no groups and aggregates. */
  fields: QueryField[];
  interval: QueryInterval;
  order: Order[];
  limit: number;
}

/** One number of an answer. */
export interface Aggregate {
  name: string;
  fn: AggregateFn;
  field: QueryField | undefined;
}

/** A key of the order: a column of the answer by its place. */
export interface Order {
  column: number;
  isDescending: boolean;
}

/** A column of the answer. */
export interface Column {
  name: string;
  kind: FieldKind;
}

/** What aggregates there are, and which fields each takes. */
export const FUNCTIONS = {
  count: () => true,
  countUnique: ({ kind }: QueryField) => kind !== "strings",
  sum: isNumber,
  avg: isNumber,
  min: hasOrder,
  max: hasOrder,
  median: isNumber,
  p95: isNumber,
} as const;

/** A function of many values. */
export type AggregateFn = keyof typeof FUNCTIONS;

/** Attributes have values of any kind; their numbers can be added up. */
function isNumber({ kind, level }: QueryField): boolean {
  return kind === "number" || level === "attribute";
}

function hasOrder(field: QueryField): boolean {
  return isNumber(field) || field.kind === "time";
}

const DEFAULT_LIMIT = 100;

/** Name of the column of time. */
export const INTERVAL = "interval";

/** Checks a request and makes a plan of it. Refuses what there is not, and lists what there is. */
export function planOf(request: QueryRequest): Plan {
  const from = fromOf(request.from);
  const groups = request.groupBy.map((name, index) => known(from, name, `group_by[${index}]`));
  const fields = request.fields.map((name, index) => known(from, name, `fields[${index}]`));
  const { interval, limit = DEFAULT_LIMIT } = request;
  const isGrouped = groups.length > 0 || request.select.length > 0 || interval !== QueryInterval.UNSPECIFIED;
  if (fields.length > 0 && isGrouped) throw fail("QUERY_MIXED", { field: "fields" });
  if (request.pageToken !== "" && fields.length === 0) throw fail("QUERY_UNPAGED", { field: "page_token" });
  const select = request.select.length === 0 && fields.length === 0 ? [COUNT] : request.select;
  const aggregates = select.map((one, index) => aggregateOf(one, { from, path: `select[${index}]` }));
  const plan: Plan = { from, groups, fields, aggregates, interval, limit, order: [] };
  checkNames(columnsOf(plan));
  checkCells(plan);
  return { ...plan, order: request.orderBy.map((one, index) => orderOf(one, columnsOf(plan), `order_by[${index}]`)) };
}

const COUNT = { fn: "count", field: undefined, as: undefined } as Pick<QueryAggregate, "fn" | "field" | "as">;

/** What a word for the rows means. */
export function fromOf(word: string): From {
  const plain = word.toLowerCase().replace(/^query_from_/, "");
  if (plain === "" || plain === "events") return "events";
  if (plain === "visitors") return "visitors";
  throw fail("WORD_UNKNOWN", { field: "from", known: "events, visitors" });
}

function known(from: From, name: string, path: string): QueryField {
  const field = fieldOf(from, name);
  if (field === undefined) throw fail("FIELD_UNKNOWN", { field: path, known: namesOf(from) });
  return { ...field, name }; // a field of two names answers to the one that was asked for
}

const WORDS = new Map(Object.keys(FUNCTIONS).map((fn) => [fn.toLowerCase(), fn as AggregateFn]));

function aggregateOf(
  { fn: word, field: name, as }: Pick<QueryAggregate, "fn" | "field" | "as">,
  { from, path }: { from: From; path: string },
): Aggregate {
  const fn = WORDS.get(word.toLowerCase().replaceAll("_", ""));
  if (fn === undefined) throw fail("WORD_UNKNOWN", { field: `${path}.fn`, known: Object.keys(FUNCTIONS).join(", ") });
  const field = name === undefined || name === "" ? undefined : known(from, name, `${path}.field`);
  if (field === undefined && fn !== "count") throw fail("QUERY_FIELD_NEEDED", { field: `${path}.field`, fn });
  if (field !== undefined && !FUNCTIONS[fn](field))
    throw fail("QUERY_FIELD_KIND", { field: `${path}.field`, fn, name: field.name });
  return { fn, field, name: as ?? (field === undefined ? fn : `${fn}_${field.name.replaceAll(".", "_")}`) };
}

/** Columns of the answer, in order: time, groups, numbers; or the fields of single rows. */
export function columnsOf({ groups, fields, aggregates, interval }: Omit<Plan, "order">): Column[] {
  if (fields.length > 0) return fields.map(({ name, kind }) => ({ name, kind }));
  const time: Column[] = interval === QueryInterval.UNSPECIFIED ? [] : [{ name: INTERVAL, kind: "time" }];
  const members = groups.map(({ name, kind }) => ({ name, kind: kind === "strings" ? ("string" as const) : kind }));
  const numbers = aggregates.map(({ name, fn, field }) => ({
    name,
    kind: (fn === "min" || fn === "max") && field?.kind === "time" ? ("time" as const) : ("number" as const),
  }));
  return [...time, ...members, ...numbers];
}

/** So many values an answer has at most: they are made into JSON on one thread. */
const MOST_CELLS = 100_000;

function checkCells(plan: Omit<Plan, "order">): void {
  const most = Math.floor(MOST_CELLS / columnsOf(plan).length);
  if (plan.limit > most) throw fail("QUERY_WIDE", { field: "limit", most, columns: columnsOf(plan).length });
}

function checkNames(columns: readonly Column[]): void {
  const seen = new Set<string>();
  for (const { name } of columns) {
    if (seen.has(name)) throw fail("QUERY_NAME_TWICE", { field: "select", name });
    seen.add(name);
  }
}

function orderOf({ field, by, direction, desc }: QueryOrder, columns: readonly Column[], path: string): Order {
  const name = field || by || "";
  const column = columns.findIndex((one) => one.name === name);
  if (column < 0)
    throw fail("FIELD_UNKNOWN", { field: `${path}.field`, known: columns.map((one) => one.name).join(", ") });
  return { column, isDescending: desc || direction === SortDirection.DESC };
}
