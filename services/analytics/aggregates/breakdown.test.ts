import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AggregateService, GroupByDimensionSchema } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";
import { clock, overScans, percent, type Scan, TAGS, uniques, ZONES } from "./test-scans.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const api = () => ground.client(AggregateService);
const KINDS = ["DEVICE_TYPE_UNKNOWN", "DEVICE_TYPE_MOBILE", "DEVICE_TYPE_TABLET", "DEVICE_TYPE_DESKTOP"];
const tagsOf = ({ link }: Scan): readonly string[] => (TAGS[link]?.length ? (TAGS[link] ?? []) : [""]);

/** The members of a scan in plain code; the scans are all that the question covers at any time, in the order of arrival. */
const MEMBERS: Readonly<Record<string, (scan: Scan, all: readonly Scan[], zone: string) => readonly string[]>> = {
  country: ({ country }) => [country],
  language: ({ language }) => [language],
  deviceType: ({ kind }) => [KINDS[kind] ?? ""],
  linkId: ({ link }) => [link],
  rule: ({ rule }) => [rule],
  destination: ({ destination }) => [destination],
  tag: tagsOf,
  hourOfDay: ({ at }, _all, zone) => [String(clock(at, zone).hour)],
  weekday: ({ at }, _all, zone) => [String(clock(at, zone).dayOfWeek)],
  visitType: (scan, all) => [visitTypeOf(scan, all)],
};

/** Of several at the same time it may be either, so the time decides. */
function visitTypeOf(scan: Scan, all: readonly Scan[]): string {
  if (scan.device === "") return "";
  const same = all.filter(({ device, link }) => device === scan.device && link === scan.link);
  const first = same.toSorted((a, b) => a.at - b.at)[0];
  return first === scan ? "VISIT_TYPE_FIRST" : "VISIT_TYPE_RETURNING";
}

describe("over random scans", () => {
  it("every dimension has its members with the unknown one, exactly", { timeout: 60_000 }, async () => {
    const check = async (
      scans: readonly Scan[],
      ask: (dimension: string, timezone: string) => ReturnType<typeof breakdown>,
      all = scans,
    ) => {
      for (const [at, [dimension, membersOf]] of Object.entries(MEMBERS).entries()) {
        const zone = ZONES[at % ZONES.length] ?? "UTC";
        const { data, total } = await ask(dimension, zone);
        expect([dimension, total]).toEqual([dimension, scans.length]);
        const pairs = scans.flatMap((scan) => membersOf(scan, all, zone).map((code) => ({ code, scan })));
        const wanted = [...Map.groupBy(pairs, ({ code }) => code)].map(([code, some]) => {
          const mine = some.map(({ scan }) => scan);
          return [code, mine.length, uniques(mine), percent(mine.length, scans.length)];
        });
        const found = data.map((row) => [row.code, row.eventCount, row.uniqueVisitors, row.percentage]);
        expect([dimension, found.toSorted()]).toEqual([dimension, wanted.toSorted()]);
        expect(data.map(({ eventCount }) => -eventCount)).toEqual(
          data.map(({ eventCount }) => -eventCount).toSorted((a, b) => a - b),
        );
      }
    };
    const breakdown = (request: object, by: Parameters<ReturnType<typeof api>["queryBreakdown"]>[1]) =>
      api().queryBreakdown({ limit: 1_000, ...request }, by);
    await overScans(ground, {
      numRuns: 5,
      check: async ({ by, people }) => {
        await check(people, (dimension, timezone) => breakdown({ dimension, timezone }, by));
        const tagged = people.filter((scan) => TAGS[scan.link]?.includes("shop"));
        await check(tagged, (dimension, timezone) => breakdown({ dimension, timezone, tag: "shop" }, by));
        const [start, end] = [NOW - 30 * 86_400_000, NOW - 3_600_000];
        const some = people.filter(({ at }) => at >= start && at <= end);
        const range = { startDate: timestampFromMs(start), endDate: timestampFromMs(end) };
        await check(some, (dimension, timezone) => breakdown({ dimension, timezone, ...range }, by), people);
      },
    });
  });

  it("places, devices and links add up to all events", async () => {
    await overScans(ground, {
      numRuns: 4,
      check: async ({ by, people }) => {
        for (const groupBy of ["country", "REGION", "GROUP_BY_DIMENSION_CITY"]) {
          const { data, totalEvents } = await api().queryGeo({ groupBy, limit: 1_000 }, by);
          expect(totalEvents).toBe(people.length);
          expect(data.reduce((sum, { eventCount }) => sum + eventCount, 0)).toBe(people.length);
        }
        const devices = await api().queryDevices({}, by);
        expect(devices.data.reduce((sum, { eventCount }) => sum + eventCount, 0)).toBe(people.length);
        const links = await api().queryTopLinks({}, by);
        const wanted = [...Map.groupBy(people, ({ link }) => link)].map(([linkId, some]) => {
          const isKnown = TAGS[linkId] !== undefined;
          const names = { name: isKnown ? `Name of ${linkId}` : linkId, shortlink: isKnown ? `short-${linkId}` : "" };
          return { ...names, linkId, eventCount: some.length, uniqueVisitors: uniques(some) };
        });
        wanted.sort((a, b) => b.eventCount - a.eventCount || (a.linkId < b.linkId ? -1 : 1));
        expect(links.data).toMatchObject(wanted);
      },
    });
  });
});

it("names are taken in every spelling of the vendor's clients", async () => {
  const by = ground.by({ workspace: "spellings" });
  const spellings = ["country", "COUNTRY", "device_type", "deviceType", "browserName", "linkId"];
  const full = GroupByDimensionSchema.values.map(({ name }) => name).filter((name) => !name.endsWith("UNSPECIFIED"));
  for (const dimension of ["", ...spellings, ...full])
    expect(await api().queryBreakdown({ dimension }, by)).toMatchObject({ data: [], total: 0 });
});
