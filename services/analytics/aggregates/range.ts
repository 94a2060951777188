import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CalendarInterval } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import type { Asking } from "../asking.ts";
import type { Params } from "../engine/query.ts";
import { DAY_MS } from "../rules.ts";
import { lastMs } from "../scope.ts";
import { type Intervals, intervalsOf, SLOT_MS } from "./calendar.ts";

/** A request that may name a range. */
export interface Ranged {
  startDate?: Timestamp | undefined;
  endDate?: Timestamp | undefined;
}

/** The range of a series: 30 days until now where the request leaves it open. */
export function withRange({ startDate, endDate }: Ranged, now: number): { startDate: Timestamp; endDate: Timestamp } {
  const end = endDate ?? timestampFromMs(now);
  return { startDate: startDate ?? timestampFromMs(Number(lastMs(end)) - 30 * DAY_MS), endDate: end };
}

/** A request that cuts its range. */
export interface Intervalled {
  intervalInMinutes?: number | undefined;
  interval: CalendarInterval;
}

/** The intervals of a request in a range that is known, days where it says nothing. */
export function cut(
  { intervalInMinutes: minutes = 1_440, interval }: Intervalled,
  { startDate, endDate, zone }: Ranged & { zone: string },
): Intervals {
  const [start, end] = [startDate, endDate].map((time) => (time === undefined ? 0 : msOf(time))) as [number, number];
  return intervalsOf({ start, end, minutes, interval, zone });
}

/** SQL and values that lay events on intervals. */
export interface Laid {
  /** What to group events by first: over `scanned_at`. */
  slot: string;
  /** Follows FROM and a relation `g` with a column `slot`; gives `b.idx`, the number of the interval. */
  join: string;
  params: Params;
}

/**
 * Lays grouped events on intervals. Equal ones are a division; those of the calendar are found by their borders, for
 * quarter hours and not for each event.
 */
export function lay({ starts, lengthMs }: Intervals): Laid {
  const [first = 0] = starts;
  if (lengthMs !== undefined) {
    return {
      slot: "(scanned_at - $begin) // $length",
      join: `JOIN (SELECT unnest(range($count)) AS idx) b ON b.idx = g.slot`,
      params: { begin: BigInt(first), length: BigInt(lengthMs), count: BigInt(starts.length) },
    };
  }
  const borders = `SELECT unnest($starts) AS start, unnest(range(len($starts))) AS idx`;
  return {
    slot: `scanned_at // ${SLOT_MS}`,
    join: `ASOF JOIN (${borders}) b ON g.slot * ${SLOT_MS} >= b.start`,
    params: { starts: starts.map(BigInt) },
  };
}

/** A time in whole milliseconds since 1970. */
export function msOf(time: Timestamp): number {
  return Number(lastMs(time));
}

/** The scope of a question with more values. */
export function plus(asking: Asking, params: Params): Params {
  return { ...asking.scope.params, ...params };
}
