import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { QueryTimeSeriesRequest } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import type { Duck } from "./duck.ts";
import { deviceTypeOf, intervals } from "./rules.ts";
import type { Scope } from "./scope.ts";

/** Totals and tops in one pass; among equals the first in order. */
const TOTALS = (where: string) => `
  WITH matching AS (SELECT country, city, device_type, scanned_at FROM events WHERE ${where}),
    countries AS (SELECT country, count(*) AS n FROM matching WHERE country IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1),
    cities AS (SELECT city, count(*) AS n FROM matching WHERE city IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1),
    kinds AS (SELECT device_type, count(*) AS n FROM matching WHERE device_type > 0 GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1)
  SELECT count(*) AS events, count(DISTINCT country) AS countries, count(DISTINCT city) AS cities,
    count(DISTINCT CASE WHEN device_type > 0 THEN device_type END) AS kinds, min(scanned_at) AS first_at,
    max(scanned_at) AS last_at, (SELECT country FROM countries) AS top_country, (SELECT city FROM cities) AS top_city,
    (SELECT device_type FROM kinds) AS top_kind FROM matching`;

/** Totals and tops of a scope. */
export async function readMetrics(duck: Duck, scope: Scope) {
  const [row] = await duck.rows(TOTALS(scope.sql), scope.params);
  const word = (value: unknown): string | undefined =>
    value === null || value === undefined ? undefined : String(value);
  const time = (value: unknown) => (value === null || value === undefined ? undefined : timestampFromMs(Number(value)));
  return {
    totalEvents: Number(row?.events ?? 0),
    totalCountries: Number(row?.countries ?? 0),
    totalCities: Number(row?.cities ?? 0),
    totalDeviceTypes: Number(row?.kinds ?? 0),
    topCountry: word(row?.top_country),
    topCity: word(row?.top_city),
    topDeviceType: row?.top_kind === null || row === undefined ? undefined : deviceTypeOf(Number(row.top_kind)),
    firstAt: time(row?.first_at),
    lastAt: time(row?.last_at),
  };
}

/** Counts in equal intervals; intervals without events are there too. */
export async function readTimeSeries(duck: Duck, question: { scope: Scope; request: QueryTimeSeriesRequest }) {
  const { scope, request } = question;
  const start = request.startDate === undefined ? 0 : timestampMs(request.startDate);
  const end = request.endDate === undefined ? 0 : timestampMs(request.endDate);
  const { count, lengthMs } = intervals({ start, end, minutes: request.intervalInMinutes ?? 1_440 });
  const params = { ...scope.params, begin: BigInt(start), length: BigInt(lengthMs) };
  const sql = `SELECT (scanned_at - $begin) // $length AS slot, count(*) AS n FROM events WHERE ${scope.sql} GROUP BY 1`;
  const counts = new Map((await duck.rows(sql, params)).map((row) => [Number(row.slot), Number(row.n)]));
  const data = Array.from({ length: count }, (_, slot) => ({
    timestamp: timestampFromMs(start + slot * lengthMs),
    eventCount: counts.get(slot) ?? 0,
  }));
  return { data, totalData: data.reduce((sum, point) => sum + point.eventCount, 0), totalIntervals: count };
}
