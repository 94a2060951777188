import { CalendarInterval } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { isTimezone } from "#runtime/routing.ts";
import { fail } from "../reasons.ts";
import { DAY_MS, intervals, MOST_INTERVALS } from "../rules.ts";

/** Events are grouped by quarter hours: every zone's hours and days begin at the border of one. */
export const SLOT_MS = 900_000;

/** Intervals of a question: where each begins, in milliseconds since 1970, ascending; the last one holds the end. */
export interface Intervals {
  starts: number[];
  /** All as long as this, or undefined: they go by the calendar. */
  lengthMs: number | undefined;
}

/** What cuts a range. */
export interface Cut {
  start: number;
  end: number;
  minutes: number;
  interval: CalendarInterval;
  zone: string;
}

/** The intervals of a range. Refuses more than 10,000. */
export function intervalsOf({ start, end, minutes, interval, zone }: Cut): Intervals {
  if (interval === CalendarInterval.UNSPECIFIED) {
    const { count, lengthMs } = intervals({ start, end, minutes });
    return { starts: Array.from({ length: count }, (_, index) => start + index * lengthMs), lengthMs };
  }
  return { starts: bordersOf({ start, end, interval, zone }), lengthMs: undefined };
}

/** An hour is at least this long, a day, a week, a month: to refuse too many before they are counted. */
const LEAST_MS: Readonly<Record<number, number>> = {
  [CalendarInterval.HOUR]: 1_800_000,
  [CalendarInterval.DAY]: 22 * 3_600_000,
  [CalendarInterval.WEEK]: 6 * DAY_MS,
  [CalendarInterval.MONTH]: 27 * DAY_MS,
};

/** Beginnings of hours, days, weeks or months of a zone, the first at or before `start`, the last at or before `end`. */
export function bordersOf(given: Omit<Cut, "minutes">): number[] {
  const { start, end, interval, zone } = given;
  const most = Math.floor((end - start) / (LEAST_MS[interval] ?? 1)) + 2;
  if (most > 2 * MOST_INTERVALS) throw fail("TOO_MANY_INTERVALS", { field: "interval", intervals: most });
  const starts: number[] = [];
  for (let at = firstOf(given); at.epochMilliseconds <= end; at = nextOf(at, given)) {
    starts.push(at.epochMilliseconds);
    if (starts.length > MOST_INTERVALS) throw fail("TOO_MANY_INTERVALS", { field: "interval", intervals: most });
  }
  return starts.length > 0 ? starts : [zoned(start, zone).startOfDay().epochMilliseconds];
}

function zoned(at: number, zone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone);
}

function firstOf({ start, interval, zone }: Omit<Cut, "minutes">): Temporal.ZonedDateTime {
  const at = zoned(start, zone);
  if (interval === CalendarInterval.HOUR) return hourOf(at);
  const date = at.toPlainDate();
  if (interval === CalendarInterval.WEEK) return dayOf(date.subtract({ days: date.dayOfWeek - 1 }), zone);
  return dayOf(interval === CalendarInterval.MONTH ? date.with({ day: 1 }) : date, zone);
}

function nextOf(at: Temporal.ZonedDateTime, { interval, zone }: Omit<Cut, "minutes">): Temporal.ZonedDateTime {
  if (interval === CalendarInterval.HOUR) return nextHour(at);
  const date = at.toPlainDate();
  if (interval === CalendarInterval.DAY) return later(at, (days) => dayOf(date.add({ days }), zone));
  if (interval === CalendarInterval.WEEK) return later(at, (weeks) => dayOf(date.add({ weeks }), zone));
  return later(at, (months) => dayOf(date.add({ months }).with({ day: 1 }), zone));
}

/** A day that a zone has left out, as Samoa did at the date line, begins where the next one does: it is passed over. */
function later(at: Temporal.ZonedDateTime, of: (steps: number) => Temporal.ZonedDateTime): Temporal.ZonedDateTime {
  let steps = 1;
  while (of(steps).epochMilliseconds <= at.epochMilliseconds) steps += 1;
  return of(steps);
}

/** Where the hour of the clock begins; what clocks that are put back show a second time is an hour, or a part of one, of its own. */
function hourOf(at: Temporal.ZonedDateTime): Temporal.ZonedDateTime {
  const { minute: minutes, second: seconds, millisecond: milliseconds } = at;
  const full = at.subtract({ minutes, seconds, milliseconds });
  if (full.offsetNanoseconds === at.offsetNanoseconds) return full;
  return at.add({ milliseconds: 1 }).getTimeZoneTransition("previous") ?? full;
}

/** Where the next one begins: at the next full hour, or when the clocks change before it. */
function nextHour(at: Temporal.ZonedDateTime): Temporal.ZonedDateTime {
  const full = at.add({ minutes: 60 - at.minute });
  if (full.offsetNanoseconds === at.offsetNanoseconds) return full;
  return at.getTimeZoneTransition("next") ?? full;
}

/** Where the day of a moment begins in a zone, or the one so many days before it. */
export function dayStart(at: number, zone: string, daysBefore = 0): number {
  return dayOf(zoned(at, zone).toPlainDate().subtract({ days: daysBefore }), zone).epochMilliseconds;
}

function dayOf(date: Temporal.PlainDate, zone: string): Temporal.ZonedDateTime {
  return date.toZonedDateTime({ timeZone: zone });
}

/** Spans of a range with one offset from UTC each: where they begin and the offset, in milliseconds. */
export function offsetsOf({ start, end, zone }: Pick<Cut, "start" | "end" | "zone">): {
  starts: number[];
  offsets: number[];
} {
  const starts: number[] = [];
  const offsets: number[] = [];
  let at: Temporal.ZonedDateTime | null = zoned(start, zone);
  while (at !== null && at.epochMilliseconds <= end) {
    starts.push(at.epochMilliseconds);
    offsets.push(Math.round(at.offsetNanoseconds / 1_000_000));
    at = at.getTimeZoneTransition("next");
  }
  return { starts, offsets };
}

/** The time zone that a question names, or the workspace's where it names none: an empty text is none. Refuses what is no IANA name. */
export function zoneOf(wanted: string | undefined, workspaceZone: string): string {
  const zone = wanted || workspaceZone;
  if (!isTimezone(zone)) throw fail("TIMEZONE_UNKNOWN", { field: "timezone" });
  return zone;
}
