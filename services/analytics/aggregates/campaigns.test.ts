import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AggregateService, ComparisonAgainst } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";
import { type Period, periodsOf } from "./periods.ts";
import { overScans, percent, type Scan, type Scans, TAGS, uniques } from "./test-scans.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const api = () => ground.client(AggregateService);
const DAY = 86_400_000;
const WEEK = { start: NOW - 7 * DAY + 1, end: NOW };
const rangeOf = ({ start, end }: Period) => ({ startDate: timestampFromMs(start), endDate: timestampFromMs(end) });
const within = (scans: readonly Scan[], { start, end }: Period) => scans.filter(({ at }) => at >= start && at <= end);

/** What some scans add up to; `all` are those among which a visitor is new. */
function numbersOf(some: readonly Scan[], all: readonly Scan[], names: ReadonlySet<string>) {
  const known = some.filter(({ visitor }) => visitor !== "");
  const firsts = new Map<string, number>();
  for (const { visitor, at } of all) firsts.set(visitor, Math.min(at, firsts.get(visitor) ?? at));
  return {
    events: some.length,
    visitors: uniques(some),
    newVisitors: uniques(known.filter(({ visitor, at }) => firsts.get(visitor) === at)),
    leads: uniques(known.filter(({ visitor, talked }) => talked || names.has(visitor))),
    conversations: some.filter(({ talked }) => talked).length,
  };
}

describe("campaigns", () => {
  it("are of the tags that links have now, a link of several in each, with the untagged", async () => {
    await overScans(ground, {
      numRuns: 8,
      check: async ({ by, people, names }) => {
        const { data, total, totalVisitors } = await api().queryCampaigns(rangeOf(WEEK), by);
        const some = within(people, WEEK);
        expect([total, totalVisitors]).toEqual([some.length, uniques(some)]);
        const tagsOf = ({ link }: Scan) => (TAGS[link]?.length ? (TAGS[link] ?? []) : [""]);
        const pairs = some.flatMap((scan) => tagsOf(scan).map((tag) => ({ tag, scan })));
        const wanted = [...Map.groupBy(pairs, ({ tag }) => tag)].map(([tag, of]) => {
          const mine = of.map(({ scan }) => scan);
          const { events, visitors, newVisitors, leads, conversations } = numbersOf(mine, people, names);
          return {
            ...{ tag, label: tag || "Untagged", links: new Set(mine.map(({ link }) => link)).size, eventCount: events },
            ...{ visitors, newVisitors, returningVisitors: visitors - newVisitors, leads, conversations },
            ...{ messages: BigInt(2 * conversations), percentage: percent(events, some.length) },
            ...(visitors > 0 && { conversionRate: percent(leads, visitors) }),
          };
        });
        wanted.sort((a, b) => b.eventCount - a.eventCount || (a.tag < b.tag ? -1 : 1));
        expect(data).toMatchObject(wanted);
        expect(data.length).toBe(wanted.length);
      },
    });
  });
});

describe("a comparison", () => {
  const expected = ({ people, names }: Scans, periods: readonly Period[]) => {
    const [current, ...others] = periods.map((period) => numbersOf(within(people, period), people, names));
    const means = Object.fromEntries(
      Object.keys(current ?? {}).map((name) => {
        const values = others.map((numbers) => numbers[name as "events"]);
        return [name, values.reduce((sum, value) => sum + value, 0) / values.length];
      }),
    );
    const pairs = Object.entries(current ?? {}).map(([name, value]) => [name, value, means[name] ?? 0] as const);
    return {
      current,
      previous: means,
      change: Object.fromEntries(pairs.map(([name, value, mean]) => [name, value - mean])),
      changePct: Object.fromEntries(
        pairs.filter(([, , mean]) => mean !== 0).map(([name, value, mean]) => [name, percent(value - mean, mean)]),
      ),
    };
  };

  it.each([
    ["the days before", ComparisonAgainst.PREVIOUS, 1],
    ["the same days of earlier weeks", ComparisonAgainst.SAME_WEEKDAYS, 3],
  ])("is against %s, in all and by member", async (_what, against, weeks) => {
    await overScans(ground, {
      numRuns: 5,
      check: async (scans) => {
        const request = { ...rangeOf(WEEK), against, weeks, timezone: "Europe/Berlin", dimension: "linkId", limit: 10 };
        const reply = await api().queryComparison(request, scans.by);
        const { current, previous } = periodsOf({ ...WEEK, against, weeks, zone: "Europe/Berlin", now: NOW });
        const periods = [current, ...previous];
        expect(reply).toMatchObject(expected(scans, periods));
        const links = [...Map.groupBy(scans.people, ({ link }) => link).keys()];
        const wanted = new Map(
          links.map((link) => [
            link,
            expected({ ...scans, people: scans.people.filter((scan) => scan.link === link) }, periods),
          ]),
        );
        for (const { code, current, previous, change } of reply.members) {
          const { events, visitors, leads } = wanted.get(code)?.current ?? {};
          expect(current).toMatchObject({ events, visitors, leads });
          expect([code, previous?.events, change?.events]).toEqual([
            code,
            wanted.get(code)?.previous.events,
            wanted.get(code)?.change.events,
          ]);
        }
        const sum = reply.members.reduce((all, member) => all + (member.current?.events ?? 0), 0);
        expect(sum).toBe(reply.current?.events);
      },
    });
  });
});

describe("periods", () => {
  const ms = (time: string, zone: string) => Temporal.PlainDateTime.from(time).toZonedDateTime(zone).epochMilliseconds;
  const days = (first: string, last: string, zone: string): Period => ({
    start: ms(`${first}T00:00`, zone),
    end: Temporal.PlainDate.from(last).add({ days: 1 }).toZonedDateTime(zone).epochMilliseconds - 1,
  });
  const far = Date.parse("2027-01-01T00:00:00Z");
  const { PREVIOUS, SAME_WEEKDAYS } = ComparisonAgainst;

  it.each(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])(
    "are days of the calendar in %s, also where the clocks change",
    (zone) => {
      const given = { against: PREVIOUS, weeks: 4, zone, now: far };
      expect(periodsOf({ ...days("2026-10-26", "2026-11-01", zone), ...given }).previous).toEqual([
        days("2026-10-19", "2026-10-25", zone),
      ]);
      const weeks = periodsOf({ ...days("2026-11-02", "2026-11-02", zone), ...given, against: SAME_WEEKDAYS });
      expect(weeks.previous).toEqual(
        ["2026-10-26", "2026-10-19", "2026-10-12", "2026-10-05"].map((day) => days(day, day, zone)),
      );
    },
  );

  it("that are not over are compared with equally much", () => {
    const zone = "Europe/Berlin";
    const now = ms("2026-11-20T13:00", zone);
    const today = { ...days("2026-11-20", "2026-11-20", zone), weeks: 1, zone, now };
    expect(periodsOf({ ...today, against: PREVIOUS })).toEqual({
      current: { start: ms("2026-11-20T00:00", zone), end: now },
      previous: [{ start: ms("2026-11-19T00:00", zone), end: ms("2026-11-19T13:00", zone) }],
    });
    expect(periodsOf({ ...today, against: SAME_WEEKDAYS }).previous).toEqual([
      { start: ms("2026-11-13T00:00", zone), end: ms("2026-11-13T13:00", zone) },
    ]);
  });

  it("of more than a week are moved by as many weeks as they do not overlap", () => {
    const given = { against: SAME_WEEKDAYS, weeks: 2, zone: "UTC", now: far };
    expect(periodsOf({ ...days("2026-11-01", "2026-11-10", "UTC"), ...given }).previous).toEqual([
      days("2026-10-18", "2026-10-27", "UTC"),
      days("2026-10-04", "2026-10-13", "UTC"),
    ]);
  });
});
