import { offsetsOf as spansOf } from "../aggregates/calendar.ts";
import type { Params } from "../engine/query.ts";
import { DAY_MS } from "../rules.ts";

export const HOUR_MS = 3_600_000;

/** The clocks of a zone over a range: from each of `starts` on they are so many milliseconds ahead of UTC. */
export type Clocks = ReturnType<typeof spansOf>;

/** The clocks of a zone between two times. */
export function offsetsOf(zone: string, { start, end }: { start: number; end: number }): Clocks {
  return spansOf({ zone, start, end });
}

/** The time that clocks show, as milliseconds since their 1970. */
export function localOf({ starts, offsets }: Clocks, at: number): number {
  const index = starts.findLastIndex((start) => start <= at);
  return at + (offsets[Math.max(0, index)] ?? 0);
}

/** The same in SQL, of the column `scanned_at`; the values are bound. */
export function localSql({ starts, offsets }: Clocks): { sql: string; params: Params } {
  const params: Record<string, bigint> = { ahead0: BigInt(offsets[0] ?? 0) };
  let sql = "$ahead0";
  for (const [index, start] of starts.entries()) {
    if (index === 0) continue;
    params[`from${index}`] = BigInt(start);
    params[`ahead${index}`] = BigInt(offsets[index] ?? 0);
    sql = `CASE WHEN scanned_at >= $from${index} THEN $ahead${index} ELSE ${sql} END`;
  }
  return { sql: `(scanned_at + ${sql})`, params };
}

/** "2026-11-20" of a day counted from 1970. */
export function dateOf(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}
