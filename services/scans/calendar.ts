import { fail } from "#runtime/failure.ts";
import { HOUR_MS } from "./scope.ts";

/** How a series is cut. */
export type Granularity = "hour" | "day" | "week";

/** The buckets of a series: where each begins, and its name. The last has no end. */
export interface Buckets {
  /** Milliseconds since 1970, ascending. */
  starts: number[];
  labels: string[];
}

/** Midnight in the time zone, so many days before the day of `at`. */
export function midnight(at: number, zone: string, daysBefore = 0): number {
  return startOf(dateOf(at, zone).subtract({ days: daysBefore }), zone);
}

/** The most hours of one answer: more than two years. */
const MOST_HOURS = 20_000;

/** The buckets from the midnight `start` to the one of `now`. There is always one. Refuses an endless list of hours. */
export function bucketsOf({ start, now, zone, granularity }: Range & { granularity: Granularity }): Buckets {
  if (granularity === "hour" && now - start > MOST_HOURS * HOUR_MS)
    throw fail("INVALID_FIELD", {
      field: "granularity",
      must: `must be day or week: this period has more than ${MOST_HOURS} hours`,
    });
  if (granularity === "hour") return hours({ start, now, zone });
  return granularity === "day" ? days({ start, now, zone }) : weeks({ start, now, zone });
}

interface Range {
  start: number;
  now: number;
  zone: string;
}

function dateOf(at: number, zone: string): Temporal.PlainDate {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDate();
}

/** The first moment of a day; midnight, or what comes after where clocks leave it out. */
function startOf(date: Temporal.PlainDate, zone: string): number {
  return date.toZonedDateTime({ timeZone: zone }).epochMilliseconds;
}

/** A day that a zone has left out, as Samoa did at the date line, has no bucket. */
function days({ start, now, zone }: Range): Buckets {
  const buckets: Buckets = { starts: [], labels: [] };
  let date = dateOf(start, zone);
  let at = start;
  do {
    const next = date.add({ days: 1 });
    const end = startOf(next, zone);
    if (end > at) push(buckets, at, date.toString());
    [date, at] = [next, end];
  } while (at <= now);
  return buckets;
}

function weeks({ start, now, zone }: Range): Buckets {
  const buckets: Buckets = { starts: [], labels: [] };
  const first = dateOf(start, zone);
  let monday = first.subtract({ days: first.dayOfWeek - 1 });
  let at = start;
  do {
    push(buckets, at, monday.toString());
    monday = monday.add({ days: 7 });
    at = startOf(monday, zone);
  } while (at <= now);
  return buckets;
}

/** Hours of the clock. Where it is put forward or back by half an hour, one of them is longer. */
function hours({ start, now, zone }: Range): Buckets {
  const buckets: Buckets = { starts: [], labels: [] };
  let stretch = stretchAt(start, zone);
  let at = start;
  do {
    push(buckets, at, hourLabel(at, stretch.offset, zone));
    let next = nextHour(at, stretch.offset);
    while (next >= stretch.end) {
      stretch = stretchAt(stretch.end, zone);
      next = isHour(stretch.start, stretch.offset) ? stretch.start : nextHour(stretch.start, stretch.offset);
    }
    at = next;
  } while (at <= now);
  return buckets;
}

function push({ starts, labels }: Buckets, start: number, label: string): void {
  starts.push(start);
  labels.push(label);
}

/** A stretch of time in which a zone keeps its offset. */
interface Stretch {
  start: number;
  end: number;
  offset: number;
}

function stretchAt(at: number, zone: string): Stretch {
  const here = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone);
  const end = here.getTimeZoneTransition("next")?.epochMilliseconds ?? Number.POSITIVE_INFINITY;
  return { start: at, end, offset: here.offsetNanoseconds / 1_000_000 };
}

function isHour(at: number, offset: number): boolean {
  return (at + offset) % HOUR_MS === 0;
}

function nextHour(at: number, offset: number): number {
  return (Math.floor((at + offset) / HOUR_MS) + 1) * HOUR_MS - offset;
}

/** "2026-03-01T15:00:00Z", "2026-03-01T15:00:00+05:30". */
function hourLabel(at: number, offset: number, zone: string): string {
  const local = new Date(at + offset).toISOString().slice(0, 19);
  if (offset === 0 && /^(?:etc\/)?(?:utc|uct|zulu|universal|gmt)$/i.test(zone)) return `${local}Z`;
  const minutes = Math.abs(offset) / 60_000;
  const two = (number: number) => String(number).padStart(2, "0");
  return `${local}${offset < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
