import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { QueryInterval, type QueryRequest, type QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { bordersOf, zoneOf } from "../aggregates/calendar.ts";
import { type Ranged, withRange } from "../aggregates/range.ts";
import { type AnalyticsDeps, ask, type Question } from "../asking.ts";
import { decodeCursor, encodeCursor } from "../cursor.ts";
import type { Row } from "../engine/query.ts";
import { explain } from "../explain.ts";
import { readWatermark } from "../feed/watermark.ts";
import { fieldOf, fieldsOf, type QueryField } from "../fields/fields.ts";
import { type From, peopleSql } from "../fields/levels.ts";
import { operatorsOf } from "../fields/predicate.ts";
import { openValues } from "../fields/values.ts";
import { checkPersonal, compileWhere, paramsOf, placeOf, type Where } from "../fields/where.ts";
import { asOf, scopeOf } from "../scope.ts";
import { scoringOf } from "../scoring/weights.ts";
import { answerOf } from "./answer.ts";
import { fieldsSql, type Ground, groupedSql, INTERVALS, isSpread, totalsSql } from "./compile.ts";
import { columnsOf, FUNCTIONS, fromOf, type Plan, planOf } from "./plan.ts";

/** Handlers of QueryService. */
export function queryHandlers(own: AnalyticsDeps): ServiceImpl<typeof QueryService> {
  return {
    query: (request, handler) => query(own, request, handler),
    listQueryFields: ({ from }) => {
      const wanted: From[] = from === "" ? ["events", "visitors"] : [fromOf(from)];
      return { fields: wanted.flatMap((one) => withAttributes(one).map((field) => described(field, one))) };
    },
  };
}

/** All fields, with one that stands for every attribute. */
function withAttributes(from: From): QueryField[] {
  const attribute = fieldOf(from, "attributes.KEY");
  return [...fieldsOf(from), ...(attribute === undefined ? [] : [attribute])];
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
  const context = contextOf(handler);
  checkScopes(plan, request, handler);
  const range = rangeOf(plan, request, context.now());
  zoneOf(request.timezone, "UTC");
  const question = await ask(own, handler, range);
  const zone = zoneOf(request.timezone, question.settings.timezone);
  const asked = questionOf(plan, request, question);
  const after = decodeCursor(asked, request.pageToken);
  const upTo = after?.upTo ?? (await readWatermark(question.duck)).position;
  const at = plan.fields.length > 0 ? upTo : undefined;
  const { weights } = await scoringOf(own.store, context.principal);
  const now = after?.total ?? Math.floor(context.now());
  const all = scopeOf(context, {}, question.settings.scansDays);
  const scope = at === undefined ? question.scope : asOf(question.scope, at);
  const seen = { scope: at === undefined ? all : asOf(all, at), asked: scope, now, weights };
  const where = compileWhere(request.where, plan.from, "w", seen);
  const values = openValues("q");
  const starts = startsOf(plan, range, zone);
  const ground: Ground = { scope: scope.sql, where: where.sql, place: placeOf(seen, values), values, starts };
  const read = (sql: string): Promise<Row[]> => {
    const params = { ...where.params, ...paramsOf(seen), ...scope.params, ...values.params };
    return question.duck.rows(sql, params, question.signal);
  };
  const offset = after?.key ?? 0;
  const { rows, totals } = await readBoth(plan, { ground, offset, read });
  const more = plan.fields.length > 0 && rows.length > plan.limit;
  const nextPageToken = more ? encodeCursor(asked, { key: offset + plan.limit, id: "", upTo, total: now }) : "";
  const answer = await answerOf(plan, { rows, totals });
  if (!request.explain) return { ...answer, nextPageToken };
  const params = { ...where.params, ...paramsOf(seen), ...question.scope.params, ...values.params };
  const narrowed = { ...question, scope: { ...question.scope, params } };
  const told = { question: narrowed, range, zone, from: plan.from, where, now: ground.place.now };
  return { ...answer, nextPageToken, explanation: await tell(own, told) };
}

interface Reading {
  ground: Ground;
  /** Rows before those of this page. */
  offset: number;
  read: (sql: string) => Promise<Row[]>;
}

/**
 * The rows of an answer and the numbers over all of them. By one statement where that can be: what it costs to find the rows is
 * paid once, and two would share the memory. Without groups the numbers are the only row.
 */
async function readBoth(plan: Plan, { ground, offset, read }: Reading): Promise<{ rows: Row[]; totals: Row }> {
  if (plan.fields.length === 0 && !isSpread(plan)) {
    const isOneRow = plan.groups.length === 0 && plan.interval === QueryInterval.UNSPECIFIED;
    const [totals = {}, ...rows] = await read(isOneRow ? totalsSql(plan, ground) : groupedSql(plan, ground, true));
    return isOneRow ? { totals, rows: [totals] } : { totals: withoutGroups(totals, plan), rows };
  }
  const body = plan.fields.length > 0 ? fieldsSql(plan, ground, offset) : groupedSql(plan, ground, false);
  const [rows, [totals = {}]] = await Promise.all([read(body), read(totalsSql(plan, ground))]);
  return { rows, totals };
}

/** A row of numbers behind columns of groups, as one without these columns. */
function withoutGroups(row: Row, plan: Plan): Row {
  const before = columnsOf(plan).length - plan.aggregates.length;
  const numbers = plan.aggregates.map((_one, index) => [`c${index}`, row[`c${before + index}`] ?? null]);
  return Object.fromEntries([["n", row.n ?? 0n], ...numbers]);
}

/** Visitors, and fields that tell who somebody is, need a scope of their own. */
function checkScopes(plan: Plan, { where }: QueryRequest, handler: HandlerContext): void {
  const aggregated = plan.aggregates.flatMap(({ field }) => field ?? []);
  const fields = [...plan.groups, ...plan.fields, ...aggregated];
  const { principal } = contextOf(handler);
  const email = plan.from === "visitors" ? fieldOf("visitors", "email") : undefined;
  checkPersonal(principal, { from: plan.from, where, fields: email === undefined ? fields : [...fields, email] });
}

/** What a page token belongs to. */
function questionOf({ order, from }: Plan, { where, fields }: QueryRequest, { scope }: Question): string {
  return JSON.stringify(["query", scope.asked.map(String), where, order, fields, from]);
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

async function tell(
  own: AnalyticsDeps,
  given: { question: Question; range: Ranged; zone: string; from: From; where: Where; now: string },
) {
  const { question, from, where, now, range } = given;
  const { startDate, endDate } = range;
  const people = `SELECT visitor_key FROM (${peopleSql(question.scope.sql, now)}) WHERE ${where.sql}`;
  return explain(question, {
    definition: "query",
    startDate,
    endDate,
    timezone: given.zone,
    where: from === "events" ? where.sql : `visitor_key IN (${people})`,
    log: own.log,
  });
}
