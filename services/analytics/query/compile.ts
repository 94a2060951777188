import { CalendarInterval } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { QueryInterval } from "#gen/waymark/analytics/v1/query_pb.ts";
import { SLOT_MS } from "../aggregates/calendar.ts";
import type { QueryField } from "../fields/fields.ts";
import { type Place, peopleSql, relationOf } from "../fields/levels.ts";
import type { Values } from "../fields/values.ts";
import type { Aggregate, Plan } from "./plan.ts";

/** What the rows of a query are made from. */
export interface Ground {
  /** Condition of the rows' events: the scope with its range. */
  scope: string;
  /** Conditions of the query over its rows. */
  where: string;
  place: Place;
  values: Values;
  /** Where intervals begin, milliseconds since 1970. */
  starts: readonly number[];
}

/** Intervals of the calendar. */
export const INTERVALS: Readonly<Record<number, CalendarInterval>> = {
  [QueryInterval.HOUR]: CalendarInterval.HOUR,
  [QueryInterval.DAY]: CalendarInterval.DAY,
  [QueryInterval.WEEK]: CalendarInterval.WEEK,
  [QueryInterval.MONTH]: CalendarInterval.MONTH,
};

/** Everything that a query's columns are made of: rows of the question as `b`, and what is joined to them. */
interface Rows {
  from: string;
  /** SQL of a field, in the statement around `from`. */
  of: (field: QueryField, isSpread: boolean) => string;
}

/** The rows of a question, and a join for each field that stands elsewhere. A list is spread for groups: a row a member. */
function rowsOf({ from }: Pick<Plan, "from">, ground: Ground): Rows {
  const { scope, where, place, values } = ground;
  const time = from === "events" ? "scanned_at" : "first_at";
  const base = from === "events" ? `SELECT * FROM touches WHERE ${scope}` : peopleSql(scope, place.now);
  const joins: string[] = [];
  const aliases = new Map<string, string>();
  const rows: Rows = { from: "", of: (field, isSpread) => joined(field, isSpread) };
  const joined = (field: QueryField, isSpread: boolean): string => {
    const { level } = field;
    if (level === "event" || (level === "visitor" && from === "visitors")) return `(${field.sql(place)})`;
    const name = `${level} ${isSpread} ${field.name}`;
    const alias = aliases.get(name) ?? `j${aliases.size}`;
    if (!aliases.has(name)) {
      aliases.set(name, alias);
      const relation = relationOf(level, place, field.key === undefined ? "" : values.bind(field.key));
      const value = level === "attribute" ? "text AS v, number" : `${spread(field, isSpread, place)} AS v`;
      joins.push(
        `LEFT JOIN (SELECT ${relation.key} AS k, ${value} FROM (${relation.sql})) ${alias} ON ${alias}.k = b.${relation.by}`,
      );
      rows.from = whole();
    }
    return `${alias}.v`;
  };
  const whole = (): string => {
    const slots = ground.starts.length === 0 ? "" : slotsOf(ground, { base: "base", time });
    // `is_row` tells a group from the totals: they have none.
    return `(WITH base AS (${base}) SELECT *, true AS is_row FROM base WHERE ${where}) b ${joins.join(" ")} ${slots}`;
  };
  rows.from = whole();
  return rows;
}

function spread(field: QueryField, isSpread: boolean, place: Place): string {
  const value = field.sql(place);
  if (field.kind !== "strings" || !isSpread) return value;
  return `unnest(CASE WHEN len(${value}) > 0 THEN ${value} ELSE [NULL] END)`;
}

/** Lays quarter hours on intervals, once each. */
function slotsOf({ values, starts }: Ground, { time }: { base: string; time: string }): string {
  const list = values.bindAs("Starts", starts.map(BigInt));
  const borders = `SELECT unnest(${list}) AS start, unnest(range(len(${list}))) AS idx`;
  const slots = `SELECT unnest(range(${slot(starts[0])}, ${slot(starts.at(-1))} + 4 * 24 * 32)) AS slot`;
  return `JOIN (SELECT s.slot, o.start FROM (${slots}) s ASOF JOIN (${borders}) o ON s.slot * ${SLOT_MS} >= o.start) m
    ON m.slot = b.${time} // ${SLOT_MS}`;
}

const slot = (at = 0): string => String(Math.floor(at / SLOT_MS));

/** Keys that are quicker to count than the texts that they stand for. */
const KEYS: Readonly<Record<string, string>> = { visitorId: "b.visitor_key", deviceId: "b.device_key" };

function aggregateSql({ fn, field }: Aggregate, rows: Rows): string {
  if (field === undefined) return "count(*)";
  const plain = rows.of(field, false);
  const value =
    field.level === "attribute" && fn !== "count" && fn !== "countUnique" ? plain.replace(/\.v$/, ".number") : plain;
  switch (fn) {
    case "count":
      return `count(${value})`;
    case "countUnique":
      return `count(DISTINCT ${(field.level === "event" && KEYS[field.name]) || value})`;
    case "p95":
      return `quantile_cont(${value}, 0.95)`;
    default:
      return `${fn}(${value})`;
  }
}

/** Whether an event counts for several groups, and so more often in all groups than in the totals. */
export function isSpread({ groups }: Plan): boolean {
  return groups.some(({ kind }) => kind === "strings");
}

/**
 * One row a group, the largest first unless the query has an order; one more than the limit, to know whether there are more.
 * `hasTotals`: the row before them all has the numbers over all rows, and `n`, how many there are.
 */
export function groupedSql(plan: Plan, ground: Ground, hasTotals: boolean): string {
  const rows = rowsOf(plan, ground);
  const time = plan.interval === QueryInterval.UNSPECIFIED ? [] : ["m.start"];
  const groups = [...time, ...plan.groups.map((field) => rows.of(field, true))];
  const numbers = plan.aggregates.map((one) => aggregateSql(one, rows));
  const columns = [...groups, ...numbers].map((sql, index) => `${sql} AS c${index}`);
  const by = groups.map((_sql, index) => `c${index}`).join(", ");
  const order = orderSql(plan, { groups: groups.length, times: time.length });
  if (!hasTotals)
    return `SELECT ${columns.join(", ")} FROM ${rows.from} GROUP BY ${by} ORDER BY ${order} LIMIT ${plan.limit + 1}`;
  return `SELECT ${columns.join(", ")}, count(*) AS n, b.is_row FROM ${rows.from}
    GROUP BY GROUPING SETS ((b.is_row, ${by}), ()) ORDER BY b.is_row NULLS FIRST, ${order} LIMIT ${plan.limit + 2}`;
}

function orderSql({ order, aggregates }: Plan, { groups, times }: { groups: number; times: number }): string {
  const wanted = order.map(({ column, isDescending }) => `c${column} ${isDescending ? "DESC" : "ASC"} NULLS LAST`);
  const usual =
    wanted.length > 0
      ? []
      : [...(times > 0 ? ["c0 ASC"] : []), ...(aggregates.length > 0 ? [`c${groups} DESC NULLS LAST`] : [])];
  const ties = Array.from({ length: groups }, (_, index) => `c${index} ASC NULLS LAST`);
  return [...wanted, ...usual, ...ties].join(", ") || "1";
}

/** The numbers over all rows, without groups, and how many rows there are. */
export function totalsSql(plan: Plan, ground: Ground): string {
  const rows = rowsOf(plan, { ...ground, starts: [] });
  const numbers = plan.aggregates.map((one, index) => `${aggregateSql(one, rows)} AS c${index}`);
  return `SELECT count(*) AS n${numbers.map((sql) => `, ${sql}`).join("")} FROM ${rows.from}`;
}

/** Single rows, newest first unless the query has an order, ties by id. */
export function fieldsSql(plan: Plan, ground: Ground, offset: number): string {
  const rows = rowsOf(plan, ground);
  const columns = plan.fields.map((field, index) => `${rows.of(field, false)} AS c${index}`);
  const wanted = plan.order.map(({ column, isDescending }) => `c${column} ${isDescending ? "DESC" : "ASC"} NULLS LAST`);
  const usual = plan.from === "events" ? ["b.scanned_at DESC", "b.id DESC"] : ["b.last_at DESC", "b.visitor_key DESC"];
  return `SELECT ${columns.join(", ")} FROM ${rows.from} ORDER BY ${[...wanted, ...usual].join(", ")} LIMIT ${plan.limit + 1} OFFSET ${offset}`;
}
