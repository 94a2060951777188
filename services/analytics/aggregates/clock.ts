import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Params } from "../engine/query.ts";
import { DAY_MS } from "../rules.ts";
import { firstMs, lastMs } from "../scope.ts";
import type { Asked } from "./asked.ts";
import { offsetsOf } from "./calendar.ts";

/** SQL over a column of milliseconds in UTC, and its values. */
export interface Clock {
  /** Hour of the day, 0 to 23. */
  hour: string;
  /** Day of the week, 1 (Monday) to 7. */
  weekday: string;
  params: Params;
}

/** Intake takes no scan that is older: so there are few changes of a zone's clocks. */
const EARLIEST_MS = Date.UTC(2000, 0, 1);
const AHEAD_MS = DAY_MS;

/**
 * What the clocks of a zone said at the times of a column. The spans between two changes of the clocks are found once; an
 * event costs a few comparisons and no conversion.
 */
export function clockOf(
  column: string,
  { startDate, endDate, zone, now }: Pick<Asked, "zone" | "now"> & Partial<Asked>,
): Clock {
  const start = Number(firstMs(startDate ?? timestampFromMs(EARLIEST_MS)));
  const end = Number(lastMs(endDate ?? timestampFromMs(now + AHEAD_MS)));
  const first = Math.min(Math.max(start, EARLIEST_MS), now + AHEAD_MS);
  const { starts, offsets } = offsetsOf({ start: first, end: Math.max(first, Math.min(end, now + AHEAD_MS)), zone });
  const params: Record<string, bigint> = {};
  const cases = offsets.map((offset, at) => {
    params[`clock${at}`] = BigInt(offset);
    if (at + 1 === offsets.length) return `ELSE $clock${at} END`;
    params[`until${at}`] = BigInt(starts[at + 1] ?? 0);
    return `WHEN ${column} < $until${at} THEN $clock${at}`;
  });
  const shift = offsets.length === 1 ? "$clock0" : `CASE ${cases.join(" ")}`;
  const local = `(${column} + ${shift})`;
  return {
    hour: `(${local} // 3600000) % 24`,
    weekday: `(${local} // 86400000 + 3) % 7 + 1`, // 1970 began on a Thursday
    params,
  };
}
