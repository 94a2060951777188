import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { Condition } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { QueryInterval, type QueryRequest, type QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import { contextOf, type Principal } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
import { bordersOf, zoneOf } from "../aggregates/calendar.ts";
import { type Ranged, withRange } from "../aggregates/range.ts";
import { type AnalyticsDeps, ask, type Question } from "../asking.ts";
import { decodeCursor, encodeCursor } from "../cursor.ts";
import type { Row } from "../engine/query.ts";
import { explain } from "../explain.ts";
import { readWatermark } from "../feed/watermark.ts";
import { type FieldKind, fieldOf, fieldsOf, type QueryField } from "../fields/fields.ts";
import type { From } from "../fields/levels.ts";
import { operatorsOf } from "../fields/predicate.ts";
import { openValues } from "../fields/values.ts";
import { compileWhere, placeOf } from "../fields/where.ts";
import { asOf } from "../scope.ts";
import { fieldsSql, type Ground, groupedSql, INTERVALS, totalsSql } from "./compile.ts";
import { type Column, columnsOf, FUNCTIONS, isPersonal, type Plan, planOf } from "./plan.ts";

/** Handlers of QueryService. */
export function queryHandlers(own: AnalyticsDeps): ServiceImpl<typeof QueryService> {
  return {
    query: (request, handler) => query(own, request, handler),
    listQueryFields: ({ from }) => {
      const both: From[] = ["events", "visitors"];
      const wanted = both.filter((one) => from === "" || from.toLowerCase() === one);
      return { fields: wanted.flatMap((one) => fieldsOf(one).map((field) => described(field, one))) };
    },
  };
}

function described(field: QueryField, from: From) {
  const functions = Object.entries(FUNCTIONS).filter(([, takes]) => takes(field));
  return {
    ...{ name: field.name, type: field.kind, from, description: field.about, values: [...field.words] },
    operators: operatorsOf(field),
    functions: functions.map(([name]) => name),
  };
}

async function query(own: AnalyticsDeps, request: QueryRequest, handler: HandlerContext) {
  const plan = planOf(request);
  checkPersons(plan, request.where, contextOf(handler).principal);
  const range = rangeOf(plan, request, contextOf(handler).now());
  zoneOf(request.timezone || undefined, "UTC");
  const question = await ask(own, handler, range);
  const { settings, scope: wanted } = question;
  const zone = zoneOf(request.timezone || undefined, settings.timezone);
  const asked = JSON.stringify([
    "query",
    wanted.asked.map(String),
    request.where,
    plan.order,
    request.fields,
    plan.from,
  ]);
  const after = decodeCursor(asked, request.pageToken);
  const upTo = after?.upTo ?? (await readWatermark(question.duck)).position;
  const scope = plan.fields.length > 0 ? asOf(wanted, upTo) : wanted;
  const seen = { scope: (await ask(own, handler)).scope, now: contextOf(handler).now() };
  const where = compileWhere(request.where, plan.from, "w", seen);
  const values = openValues("q");
  const starts = startsOf(plan, range, zone);
  const ground: Ground = { scope: scope.sql, where: where.sql, place: placeOf(seen, values), values, starts };
  const read = (sql: string): Promise<Row[]> => {
    const params = { ...where.params, ...seen.scope.params, ...scope.params, ...values.params };
    return question.duck.rows(sql, params, question.signal);
  };
  const offset = after?.key ?? 0;
  const body = plan.fields.length > 0 ? fieldsSql(plan, ground, offset) : groupedSql(plan, ground);
  const [rows, totals] = await Promise.all([read(body), read(totalsSql(plan, ground))]);
  const more = plan.fields.length > 0 && rows.length > plan.limit;
  const nextPageToken = more ? encodeCursor(asked, { key: offset + plan.limit, id: "", upTo, total: 0 }) : "";
  const explanation = request.explain ? await told(own, { question, request, zone }) : undefined;
  return { ...answerOf(plan, { rows, totals: totals[0] ?? {} }), nextPageToken, explanation };
}

/** The range of a query; one that groups by time has an end on both sides. */
function rangeOf({ interval }: Plan, { startDate, endDate }: QueryRequest, now: number): Ranged {
  return interval === QueryInterval.UNSPECIFIED ? { startDate, endDate } : withRange({ startDate, endDate }, now);
}

function startsOf({ interval }: Plan, { startDate, endDate }: Ranged, zone: string): number[] {
  const calendar = INTERVALS[interval];
  if (calendar === undefined || startDate === undefined || endDate === undefined) return [];
  return bordersOf({ start: timestampMs(startDate), end: timestampMs(endDate), interval: calendar, zone });
}

async function told(own: AnalyticsDeps, given: { question: Question; request: QueryRequest; zone: string }) {
  const { startDate, endDate } = given.request;
  const notes =
    given.request.where.length > 0 ? ["The counts here are of the range, before the conditions of the query."] : [];
  return explain(given.question, {
    definition: "query",
    startDate,
    endDate,
    timezone: given.zone,
    notes,
    log: own.log,
  });
}

function answerOf(plan: Plan, { rows, totals }: { rows: readonly Row[]; totals: Row }) {
  const columns = columnsOf(plan);
  const numbers = plan.fields.length > 0 ? [] : columns.slice(columns.length - plan.aggregates.length);
  return {
    columns: columns.map(({ name, kind }) => ({ name, type: kind })),
    rows: rows.slice(0, plan.limit).map((row) => shown(row, columns)),
    totals: shown(totals, numbers),
    totalCount: BigInt(Number(totals.n ?? 0)),
    truncated: plan.fields.length === 0 && rows.length > plan.limit,
  };
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
  // A decimal of DuckDB has its own text.
  return Number(typeof value === "object" ? String(value) : value);
}

/** Who somebody is needs a scope of its own. */
function checkPersons(plan: Plan, where: readonly Condition[], { scopes, keyClass }: Principal): void {
  if (keyClass === "internal" || scopes.includes("admin") || scopes.includes("visitors:read")) return;
  const fields = [...plan.groups, ...plan.fields, ...plan.aggregates.flatMap(({ field }) => field ?? [])];
  const asks = (one: Condition): boolean => {
    const field = fieldOf(plan.from, one.field);
    return (field !== undefined && isPersonal(field)) || one.anyOf.some(asks);
  };
  if (plan.from === "visitors" || fields.some(isPersonal) || where.some(asks))
    throw refuse("PERMISSION_DENIED", { scope: "visitors:read" });
}
