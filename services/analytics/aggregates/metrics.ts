import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { QueryTimeSeriesRequest } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Asking } from "../asking.ts";
import { textOf, timeOf } from "../events/messages.ts";
import { count32, deviceTypeOf, intervals } from "../rules.ts";
import { lastMs } from "../scope.ts";

/** One pass over the events, grouped four ways; `which` tells the way by the columns that are not grouped by. */
const TOTALS = (where: string) => `
  WITH ways AS MATERIALIZED (
    SELECT grouping_id(country, city, device_type) AS which, country, city, device_type, count(*) AS n,
      min(scanned_at) AS first_at, max(scanned_at) AS last_at
    FROM events WHERE ${where} GROUP BY GROUPING SETS ((country), (city), (device_type), ()))
  SELECT max(n) FILTER (which = 7) AS events,
    min(first_at) FILTER (which = 7) AS first_at, max(last_at) FILTER (which = 7) AS last_at,
    count(country) FILTER (which = 3) AS countries,
    count(city) FILTER (which = 5) AS cities,
    count(*) FILTER (which = 6 AND device_type > 0) AS kinds,
    first(country ORDER BY n DESC, country) FILTER (which = 3 AND country IS NOT NULL) AS top_country,
    first(city ORDER BY n DESC, city) FILTER (which = 5 AND city IS NOT NULL) AS top_city,
    first(device_type ORDER BY n DESC, device_type) FILTER (which = 6 AND device_type > 0) AS top_kind
  FROM ways`;

/** Totals and tops; among equals the first in order. */
export async function readMetrics({ duck, signal, scope }: Asking) {
  const [row = {}] = await duck.rows(TOTALS(scope.sql), scope.params, signal);
  const kind = textOf(row.top_kind);
  return {
    totalEvents: count32(Number(row.events ?? 0)),
    totalCountries: count32(Number(row.countries ?? 0)),
    totalCities: count32(Number(row.cities ?? 0)),
    totalDeviceTypes: count32(Number(row.kinds ?? 0)),
    topCountry: textOf(row.top_country),
    topCity: textOf(row.top_city),
    topDeviceType: kind === undefined ? undefined : deviceTypeOf(Number(kind)),
    firstAt: timeOf(row.first_at),
    lastAt: timeOf(row.last_at),
  };
}

/** Intervals of one length, one after another. */
export interface Range {
  /** Where the first begins, milliseconds since 1970. */
  start: number;
  lengthMs: number;
  count: number;
}

const DAY_MINUTES = 1_440;

/** The intervals that a request asks for: days when it does not say. Refuses too many. */
export function rangeOf({
  startDate,
  endDate,
  intervalInMinutes: minutes = DAY_MINUTES,
}: QueryTimeSeriesRequest): Range {
  const start = startDate === undefined ? 0 : Number(lastMs(startDate));
  const end = endDate === undefined ? 0 : Number(lastMs(endDate));
  return { start, ...intervals({ start, end, minutes }) };
}

/** Counts in equal intervals; intervals without events are there too. */
export async function readTimeSeries({ duck, signal, scope }: Asking, { start, lengthMs, count }: Range) {
  const params = { ...scope.params, begin: BigInt(start), length: BigInt(lengthMs) };
  const sql = `SELECT (scanned_at - $begin) // $length AS slot, count(*) AS n FROM events WHERE ${scope.sql} GROUP BY 1`;
  const counts = new Map((await duck.rows(sql, params, signal)).map((row) => [Number(row.slot), Number(row.n)]));
  const data = Array.from({ length: count }, (_, slot) => ({
    timestamp: timestampFromMs(start + slot * lengthMs),
    eventCount: count32(counts.get(slot) ?? 0),
  }));
  const total = data.reduce((sum, point) => sum + point.eventCount, 0);
  return { data, totalData: count32(total), totalIntervals: count };
}
