import type { Asking } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { localSql, offsetsOf } from "../forecast/zone.ts";
import { DAY_MS } from "../rules.ts";
import { firstConversionsSql, type Goal } from "./conversions.ts";

/** Something about a visitor that a model looks at. */
export interface Feature {
  name: string;
  /** What it is, in a sentence. */
  about: string;
  /** How its value is transformed before it is standardised. */
  transform: "log1p" | "none";
  /** SQL of its value over the events of a visitor up to the cut-off. */
  sql: string;
}

/** Counts have long tails: their logarithm counts. */
const counted = (name: string, sql: string, about: string): Feature => ({ name, about, transform: "log1p", sql });
const shared = (name: string, sql: string, about: string): Feature => ({ name, about, transform: "none", sql });

/** What every model looks at. `weekend` and `cut` stand for a condition and a parameter of the statement. */
export const FEATURES: readonly Feature[] = [
  counted("visits", "count(*)", "Events of the visitor."),
  counted("distinctLinks", "count(DISTINCT link_id)", "Different links that the visitor met."),
  counted("activeDays", `count(DISTINCT local // ${DAY_MS})`, "Days on which the visitor came."),
  counted("recencyDays", `($cut - max(scanned_at)) / ${DAY_MS}.0`, "Days since the visitor came last."),
  counted("tenureDays", `($cut - min(scanned_at)) / ${DAY_MS}.0`, "Days since the visitor came first."),
  counted("conversations", "count(*) FILTER (talked)", "Events at which the visitor began a conversation."),
  shared(
    "weekendShare",
    `avg((((local // ${DAY_MS}) + 3) % 7 >= 5)::INTEGER)`,
    "Share of events on Saturday or Sunday.",
  ),
  shared("mobileShare", "avg((device_type = 1)::INTEGER)", "Share of events with a phone."),
  shared(
    "isReturning",
    `(count(DISTINCT local // ${DAY_MS}) > 1)::INTEGER`,
    "1 when the visitor came on more than one day, else 0.",
  ),
];

/** Visitors, one after the other: `width` values of each, and whether it converted. */
export interface Sample {
  width: number;
  /** Transformed values, not standardised. */
  values: Float64Array;
  labels: Uint8Array;
}

/** What to look at: who was known at `cut`, and who of them converted after it and by `end`. Milliseconds since 1970. */
export interface Window {
  goal: Goal;
  cut: number;
  end: number;
  zone: string;
}

/** So far back before the cut-off events are looked at. */
const MOST_MS = 730 * DAY_MS;

/** Which part of the visitors: `at` of `of` equal parts by key. */
export interface Slice {
  at: number;
  of: number;
}

/** SQL of the features of visitors who had not converted at the cut-off. `which` narrows the visitors. */
function featuresSql({ scope }: Pick<Asking, "scope">, { goal, cut, end, zone }: Window, which: string) {
  const from = Math.max(0, cut - MOST_MS);
  const local = localSql(offsetsOf(zone, { start: from, end: cut }));
  const firsts = firstConversionsSql(goal, `${scope.sql} AND ${which}`);
  const columns = FEATURES.map(({ name, sql }) => `(${sql})::DOUBLE AS ${name}`).join(", ");
  const sql = `WITH converted AS (${firsts.sql}), seen AS (
      SELECT visitor_key, ${columns} FROM (SELECT *, ${local.sql} AS local FROM touches WHERE ${scope.sql} AND ${which}
        AND visitor_key IS NOT NULL AND scanned_at >= $since AND scanned_at <= $cut) GROUP BY visitor_key)
    SELECT seen.*, coalesce(converted.happened_at <= $end, false) AS label, coalesce(converted.happened_at <= $cut, false) AS has_converted
    FROM seen LEFT JOIN converted ON converted.visitor_key = seen.visitor_key`;
  const bounds = { since: BigInt(from), cut: BigInt(cut), end: BigInt(end) };
  return { sql, params: { ...scope.params, ...local.params, ...firsts.params, ...bounds } };
}

/** Reads a part of the visitors who had not converted at the cut-off, in the order of their keys. */
export async function readSample(asking: Asking, window: Window, { at, of }: Slice): Promise<Sample> {
  const { sql, params } = featuresSql(asking, window, "abs(visitor_key % $slices) = $slice");
  const rows = await asking.duck.rows(
    `SELECT * FROM (${sql}) WHERE NOT has_converted ORDER BY visitor_key`,
    { ...params, slices: BigInt(of), slice: BigInt(at) },
    asking.signal,
  );
  const width = FEATURES.length;
  const values = new Float64Array(rows.length * width);
  for (const [index, row] of rows.entries()) values.set(transformed(valuesOf(row)), index * width);
  return { width, values, labels: Uint8Array.from(rows, (row) => (row.label === true ? 1 : 0)) };
}

/** A visitor's features as they are, and whether it has converted; undefined when it has no event in the window. */
export async function readFeatures(asking: Asking, window: Window, visitorKey: bigint) {
  const { sql, params } = featuresSql(asking, window, "visitor_key = $visitorKey");
  const [row] = await asking.duck.rows(sql, { ...params, visitorKey }, asking.signal);
  return row === undefined ? undefined : { values: valuesOf(row), hasConverted: row.has_converted === true };
}

function valuesOf(row: Row): number[] {
  return FEATURES.map(({ name }) => Number(row[name] ?? 0));
}

/** The values as a model takes them before they are standardised. */
export function transformed(values: readonly number[]): number[] {
  return values.map((value, index) =>
    FEATURES[index]?.transform === "log1p" ? Math.log1p(Math.max(0, value)) : value,
  );
}

/** Visitors of a part in all; the most that a model looks at. */
const SLICE_VISITORS = 4_000;
const MOST_SLICES = 25;

/** The parts of the visitors that a model looks at: all of them, or the first 25 parts where there are more. */
export async function slicesOf({ duck, scope, signal }: Asking): Promise<{ of: number; used: number }> {
  const sql = `SELECT count(DISTINCT visitor_key) AS visitors FROM touches WHERE ${scope.sql}`;
  const [row] = await duck.rows(sql, scope.params, signal);
  const of = Math.max(1, Math.ceil(Number(row?.visitors ?? 0) / SLICE_VISITORS));
  return { of, used: Math.min(of, MOST_SLICES) };
}
