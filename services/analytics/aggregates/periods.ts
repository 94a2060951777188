import { ComparisonAgainst } from "#gen/waymark/analytics/v1/aggregates_pb.ts";

/** A period, both ends inclusive, milliseconds since 1970. */
export interface Period {
  start: number;
  end: number;
}

/** What is compared with what. */
export interface Compared extends Period {
  against: ComparisonAgainst;
  /** How many earlier weeks. */
  weeks: number;
  zone: string;
  now: number;
}

/**
 * The period as far as it is over, and those that it is compared with, the latest first; none overlaps another. They are
 * moved by the clocks of the zone: midnight stays midnight, also where the clocks change in between. Of each as much is
 * taken as of the period is over.
 */
export function periodsOf(compared: Compared): { current: Period; previous: Period[] } {
  const { start, end, against, weeks, zone, now } = compared;
  const current = { start, end: Math.max(start, Math.min(end, now)) };
  const [from, past] = [wallOf(start, zone), wallOf(end + 1, zone)];
  if (against !== ComparisonAgainst.SAME_WEEKDAYS)
    return { current, previous: [moved(current, { by: from.until(past), zone, times: 1 })] };
  const days = Math.max(
    1,
    Math.ceil(from.until(past, { largestUnit: "days" }).total({ unit: "days", relativeTo: from })),
  );
  const by = Temporal.Duration.from({ weeks: Math.ceil(days / 7) });
  return { current, previous: Array.from({ length: weeks }, (_, at) => moved(current, { by, zone, times: at + 1 })) };
}

function wallOf(at: number, zone: string): Temporal.PlainDateTime {
  return Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(zone).toPlainDateTime();
}

/** The period as it was so much earlier. */
function moved(
  { start, end }: Period,
  { by, zone, times }: { by: Temporal.Duration; zone: string; times: number },
): Period {
  const earlier = (at: number): number => {
    let wall = wallOf(at, zone);
    for (let step = 0; step < times; step += 1) wall = wall.subtract(by);
    return wall.toZonedDateTime(zone).epochMilliseconds;
  };
  return { start: earlier(start), end: Math.max(earlier(start), Math.min(earlier(end + 1), start) - 1) };
}
