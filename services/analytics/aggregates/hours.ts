import type { Asking } from "../asking.ts";
import { count32 } from "../rules.ts";
import { offsetsOf, SLOT_MS } from "./calendar.ts";
import { plus } from "./range.ts";

/** Events by hour of the day in a time zone, as its clocks stood at each event. */
export async function readHours(asking: Asking, zone: string) {
  const { duck, scope, signal } = asking;
  const [span] = await duck.rows(
    `SELECT min(scanned_at) AS first, max(scanned_at) AS last FROM touches WHERE ${scope.sql}`,
    scope.params,
    signal,
  );
  const hours = Array.from({ length: 24 }, () => 0);
  if (span?.first !== null && span?.first !== undefined) {
    const { starts, offsets } = offsetsOf({ start: floorSlot(Number(span.first)), end: Number(span.last), zone });
    const sql = `SELECT ((g.slot * ${SLOT_MS} + o.shift) // 3600000) % 24 AS hour, sum(g.n)::BIGINT AS n FROM (
        SELECT scanned_at // ${SLOT_MS} AS slot, count(*) AS n FROM touches WHERE ${scope.sql} GROUP BY 1) g
      ASOF JOIN (SELECT unnest($starts) AS start, unnest($offsets) AS shift) o ON g.slot * ${SLOT_MS} >= o.start
      GROUP BY 1`;
    const params = plus(asking, { starts: starts.map(BigInt), offsets: offsets.map(BigInt) });
    for (const row of await duck.rows(sql, params, signal)) {
      const hour = (Number(row.hour) + 24) % 24; // before 1970 it is negative
      hours[hour] = (hours[hour] ?? 0) + Number(row.n);
    }
  }
  const data = hours.map((n, hour) => ({ hour, eventCount: count32(n) }));
  return { data, totalEvents: count32(hours.reduce((sum, n) => sum + n, 0)) };
}

function floorSlot(at: number): number {
  return Math.floor(at / SLOT_MS) * SLOT_MS;
}
