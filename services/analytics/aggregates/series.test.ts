import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AggregateService, CalendarInterval, GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { clock, overScans, type Scan, ZONES } from "./test-scans.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const api = () => ground.client(AggregateService);
const at = (time: string) => timestampFromMs(Date.parse(time));
const msOf = (time: Timestamp | undefined) => (time === undefined ? Number.NaN : timestampMs(time));

/** Ranges with changes of the clocks in them: spring, autumn, and one that begins and ends at odd times. */
const RANGES = [
  { start: Date.parse("2026-03-01T00:00:00Z"), end: Date.parse("2026-04-10T00:00:00Z") },
  { start: Date.parse("2026-10-01T00:00:00Z"), end: NOW },
  { start: Date.parse("2026-10-03T15:07:11.003Z"), end: Date.parse("2026-11-02T03:03:03.999Z") },
] as const;

/** The hour, day, week or month of the clock that a time is in; an hour that comes twice is two. */
const IN: Readonly<Record<number, (time: Temporal.ZonedDateTime) => string>> = {
  [CalendarInterval.HOUR]: (time) => `${time.toPlainDate()} ${time.hour} ${time.offset}`,
  [CalendarInterval.DAY]: (time) => time.toPlainDate().toString(),
  [CalendarInterval.WEEK]: (time) =>
    time
      .toPlainDate()
      .subtract({ days: time.dayOfWeek - 1 })
      .toString(),
  [CalendarInterval.MONTH]: (time) => time.toPlainDate().with({ day: 1 }).toString(),
};
const INTERVALS = Object.keys(IN).map(Number) as CalendarInterval[];

/** Every range, zone and interval of the calendar. */
const CASES = RANGES.flatMap((range) =>
  ZONES.flatMap((zone) => INTERVALS.map((interval) => ({ ...range, zone, interval }))),
);

type Case = (typeof CASES)[number];
const requestOf = ({ start, end, zone, interval }: Case) => ({
  startDate: timestampFromMs(start),
  endDate: timestampFromMs(end),
  timezone: zone,
  interval,
});
const inRange = (scans: readonly Scan[], { start, end }: { start: number; end: number }) =>
  scans.filter((scan) => scan.at >= start && scan.at <= end);

/** Half hours belong to the hour of the clock, also where it changes by half an hour within it. */
const nameOf = (time: number, { zone, interval }: Case) => IN[interval]?.(clock(time, zone)) ?? "";

describe("over random scans", () => {
  it("series follow the calendar of every zone", { timeout: 60_000 }, async () => {
    await overScans(ground, {
      numRuns: 3,
      check: async ({ by, people }) => {
        for (const one of CASES) {
          const { series, totalEvents } = await api().queryGroupedSeries(requestOf(one), by);
          const some = inRange(people, one);
          const wanted = Map.groupBy(some, (scan) => nameOf(scan.at, one));
          const points = series[0]?.points ?? [];
          expect(points.reduce((sum, { value }) => sum + value, 0)).toBe(some.length);
          expect(totalEvents).toBe(some.length);
          for (const { timestamp, value } of points)
            expect([one, timestamp, value]).toEqual([
              one,
              timestamp,
              wanted.get(nameOf(msOf(timestamp), one))?.length ?? 0,
            ]);
        }
      },
    });
  });

  it("new and returning visitors follow it too, by the first event of the workspace or the link", {
    timeout: 60_000,
  }, async () => {
    await overScans(ground, {
      numRuns: 3,
      check: async ({ by, people }) => {
        for (const [index, one] of CASES.entries()) {
          const linkId = index % 2 === 0 ? undefined : "link_1";
          const mine = people.filter(({ link, visitor }) => visitor !== "" && link === (linkId ?? link));
          const { data, totalNew, totalReturning } = await api().queryVisitorTrend({ ...requestOf(one), linkId }, by);
          const { rows, fresh, returning } = trendOf(mine, one);
          expect([totalNew, totalReturning]).toEqual([fresh, returning]);
          for (const { timestamp, newVisitorCount, returningVisitorCount } of data) {
            const { fresh = 0, returning = 0 } = rows.get(nameOf(msOf(timestamp), one)) ?? {};
            expect([one, newVisitorCount, returningVisitorCount]).toEqual([one, fresh, returning]);
          }
        }
      },
    });
  });

  it("members of a series add up with the others; hours and days of a month are those of the zone", async () => {
    await overScans(ground, {
      numRuns: 4,
      check: async ({ by, people }) => {
        const [, range] = RANGES;
        const some = inRange(people, range);
        const request = {
          ...requestOf({ ...range, zone: ZONES[0], interval: CalendarInterval.DAY }),
          limit: 2,
          includeOther: true,
        };
        for (const groupBy of [
          GroupByDimension.COUNTRY,
          GroupByDimension.LINK,
          GroupByDimension.HOUR_OF_DAY,
          GroupByDimension.VISIT_TYPE,
        ]) {
          const { series, totalEvents } = await api().queryGroupedSeries({ ...request, groupBy }, by);
          const sums = series.map(({ points }) => points.reduce((sum, { value }) => sum + value, 0));
          expect([totalEvents, sums.reduce((all, sum) => all + sum, 0)]).toEqual([some.length, some.length]);
        }
        for (const timezone of ZONES) {
          const { data } = await api().queryHours({ timezone }, by);
          const hours = Array.from({ length: 24 }, (_, hour) =>
            people.filter((scan) => clock(scan.at, timezone).hour === hour),
          );
          expect(data.map(({ eventCount }) => eventCount)).toEqual(hours.map((mine) => mine.length));
          const { days } = await api().listEventDays({ month: "2026-10", timezone }, by);
          const mine = people
            .map((scan) => clock(scan.at, timezone))
            .filter((time) => time.month === 10 && time.year === 2026);
          expect(days).toEqual([...new Set(mine.map((time) => time.day))].sort((a, b) => a - b));
        }
      },
    });
  });
});

/** Visitors by interval in plain code. */
function trendOf(scans: readonly Scan[], one: Case) {
  const firsts = new Map<string, number>();
  for (const { visitor, at: time } of scans) firsts.set(visitor, Math.min(time, firsts.get(visitor) ?? time));
  const rows = new Map<string, { fresh: number; returning: number }>();
  const returned = new Set<string>();
  let fresh = 0;
  for (const [name, some] of Map.groupBy(inRange(scans, one), (scan) => nameOf(scan.at, one))) {
    const row = { fresh: 0, returning: 0 };
    for (const visitor of new Set(some.map((scan) => scan.visitor))) {
      const first = firsts.get(visitor) ?? 0;
      if (first >= one.start && nameOf(first, one) === name) row.fresh += 1;
      else row.returning = returned.add(visitor).size && row.returning + 1;
    }
    rows.set(name, row);
    fresh += row.fresh;
  }
  return { rows, fresh, returning: returned.size };
}

describe("intervals", () => {
  it("of a day on which the clocks change are 23 and 25 hours", async () => {
    const by = ground.by({ workspace: "clocks" });
    const hours = async (day: string, timezone: string) => {
      const start = Temporal.PlainDate.from(day).toZonedDateTime(timezone);
      const end = start.add({ days: 1 }).epochMilliseconds - 1;
      const range = { startDate: timestampFromMs(start.epochMilliseconds), endDate: timestampFromMs(end), timezone };
      const { series } = await api().queryGroupedSeries({ ...range, interval: CalendarInterval.HOUR }, by);
      return series[0]?.points.length;
    };
    expect(await hours("2026-03-29", "Europe/Berlin")).toBe(23);
    expect(await hours("2026-10-25", "Europe/Berlin")).toBe(25);
    expect(await hours("2026-11-01", "America/New_York")).toBe(25);
    expect(await hours("2026-11-02", "Asia/Kathmandu")).toBe(24);
  });

  it("are the last 30 days where no range is given, today included, in the zone", async () => {
    const by = ground.by({ workspace: "open range" });
    const { series } = await api().queryGroupedSeries(
      { interval: CalendarInterval.DAY, timezone: "Asia/Kathmandu" },
      by,
    );
    const points = series[0]?.points ?? [];
    expect([points.length, points[0]?.timestamp]).toEqual([30, at("2026-10-21T18:15:00Z")]);
    const minutes = await api().queryGroupedSeries(
      { intervalInMinutes: 60, startDate: at("2026-11-20T10:00:00Z") },
      by,
    );
    expect(minutes.series[0]?.points.map(({ timestamp }) => msOf(timestamp))).toEqual(
      [10, 11, 12].map((hour) => Date.parse(`2026-11-20T${hour}:00:00Z`)),
    );
  });

  it("hold their first and their last millisecond, and a late event makes an earlier visitor", async () => {
    const workspace = "edges";
    const by = ground.by({ workspace });
    const touch = (id: string, time: string) =>
      touchOf({ id, workspaceId: workspace, deviceId: "d", at: Date.parse(time) });
    await ground.append([touch("e1", "2026-11-10T00:00:00.000Z"), touch("e2", "2026-11-11T23:59:59.999Z")]);
    await ground.settle();
    const range = { startDate: at("2026-11-10T00:00:00Z"), endDate: at("2026-11-11T23:59:59.999Z"), timezone: "UTC" };
    const trend = async () => {
      const { data } = await api().queryVisitorTrend({ ...range, interval: CalendarInterval.DAY }, by);
      return data.map(({ newVisitorCount, returningVisitorCount }) => [newVisitorCount, returningVisitorCount]);
    };
    expect(await trend()).toEqual([
      [1, 0],
      [0, 1],
    ]);
    await ground.append([touch("e0", "2026-11-09T23:59:59.999Z")]);
    await ground.settle();
    expect(await trend()).toEqual([
      [0, 1],
      [0, 1],
    ]);
  });
});
