import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  AggregateService,
  CalendarInterval,
  ComparisonBase,
  GroupByDimension,
} from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { TargetSchema, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { ObjectChangedSchema, Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import * as plain from "../test-answers.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround, until } from "../test-ground.ts";
import { history, touchOf, write } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const api = () => ground.client(AggregateService);
const DAY = 86_400_000;
const at = (ms: number) => timestampFromMs(ms);
const RANGE = { start: NOW - 40 * DAY, end: NOW };
const range = { startDate: at(RANGE.start), endDate: at(RANGE.end) };

/** Numbers by the values of a key, unknown as "". */
function tally(events: readonly plain.Event[], key: (event: plain.Event) => string): Map<string, plain.Event[]> {
  return Map.groupBy(events, key);
}

const deviceOf = ({ touch }: plain.Event) => touch.deviceId;
const uniques = (events: readonly plain.Event[]) => new Set(events.map(deviceOf).filter((id) => id !== "")).size;
const timeOf = ({ touch }: plain.Event) => (touch.scannedAt === undefined ? 0 : timestampMs(touch.scannedAt));
const dayIn = (zone: string) => (ms: number) =>
  Temporal.Instant.fromEpochMilliseconds(ms).toZonedDateTimeISO(zone).toPlainDate().toString();

let run = 0;

async function overHistories(check: (events: plain.Event[], workspace: string) => Promise<void>): Promise<void> {
  const histories = fc.nat().chain(() => {
    run += 1;
    return fc.record({ steps: history([`agg${run}`]), workspace: fc.constant(`agg${run}`) });
  });
  const property = fc.asyncProperty(histories, async ({ steps, workspace }) => {
    const events = await write(ground, steps);
    await check(plain.seen(events, { workspace, test: false }), workspace);
  });
  await fc.assert(property, { numRuns: 6, endOnFailure: true, interruptAfterTimeLimit: 20_000 });
}

describe("over random histories", () => {
  it("breakdowns, geo and devices add up to all events, with the unknown as a member", async () => {
    await overHistories(async (events, workspace) => {
      const by = ground.by({ workspace });
      const keys: Record<string, (event: plain.Event) => string> = {
        country: ({ touch }) => touch.place?.country ?? "",
        city: ({ touch }) => touch.place?.city ?? "",
        browser: ({ touch }) => touch.device?.browser ?? "",
        linkId: ({ touch }) => touch.codeId,
        rule: ({ touch }) => touch.rule,
      };
      for (const [dimension, key] of Object.entries(keys)) {
        const { data, total } = await api().queryBreakdown({ dimension, limit: 1000 }, by);
        expect(total).toBe(events.length);
        const wanted = [...tally(events, key)].map(([code, some]) => [code, some.length, uniques(some)]);
        expect(data.map(({ code, eventCount, uniqueVisitors }) => [code, eventCount, uniqueVisitors]).sort()).toEqual(
          wanted.sort(),
        );
      }
      const devices = await api().queryDevices({}, by);
      expect(devices.data.reduce((sum, { eventCount }) => sum + eventCount, 0)).toBe(events.length);
      const geo = await api().queryGeo({ groupBy: "city", limit: 1000 }, by);
      expect(geo.data.reduce((sum, { eventCount }) => sum + eventCount, 0)).toBe(geo.totalEvents);
    });
  });

  it("series, hours, days and visitors by the calendar of a zone", async () => {
    await overHistories(async (events, workspace) => {
      const by = ground.by({ workspace });
      const some = events.filter((event) => timeOf(event) >= RANGE.start && timeOf(event) <= RANGE.end);
      for (const timezone of ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]) {
        const calendar = { ...range, timezone, interval: CalendarInterval.DAY };
        const { series, totalEvents } = await api().queryGroupedSeries(calendar, by);
        expect(totalEvents).toBe(some.length);
        const wanted = tally(some, (event) => dayIn(timezone)(timeOf(event)));
        for (const { timestamp, value } of series[0]?.points ?? [])
          expect(value).toBe(wanted.get(dayIn(timezone)(timestamp ? timestampMs(timestamp) : 0))?.length ?? 0);
        const hours = await api().queryHours({ ...range, timezone }, by);
        const hourOf = (event: plain.Event) =>
          String(Temporal.Instant.fromEpochMilliseconds(timeOf(event)).toZonedDateTimeISO(timezone).hour);
        const byHour = tally(some, hourOf);
        expect(hours.data.map(({ eventCount }) => eventCount)).toEqual(
          Array.from({ length: 24 }, (_, hour) => byHour.get(String(hour))?.length ?? 0),
        );
        const trend = await api().queryVisitorTrend(calendar, by);
        const firsts = new Map(
          [...tally(events.filter(deviceOf), deviceOf)].map(([id, all]) => [id, Math.min(...all.map(timeOf))]),
        );
        const fresh = [...firsts.values()].filter((time) => time >= RANGE.start && time <= RANGE.end);
        expect(trend.totalNew).toBe(fresh.length);
        for (const { timestamp, newVisitorCount, returningVisitorCount } of trend.data) {
          const day = dayIn(timezone)(timestamp ? timestampMs(timestamp) : 0);
          const here = new Set((wanted.get(day) ?? []).map(deviceOf).filter((id) => id !== ""));
          const newHere = [...here].filter((id) => {
            const first = firsts.get(id) ?? 0;
            return first >= RANGE.start && dayIn(timezone)(first) === day;
          });
          expect([newVisitorCount, returningVisitorCount]).toEqual([newHere.length, here.size - newHere.length]);
        }
      }
    });
  });

  it("grouped series add up with the others", async () => {
    await overHistories(async (events, workspace) => {
      const some = events.filter((event) => timeOf(event) >= RANGE.start && timeOf(event) <= RANGE.end);
      const question = { ...range, groupBy: GroupByDimension.COUNTRY, limit: 2, includeOther: true };
      const { series, totalEvents } = await api().queryGroupedSeries(question, ground.by({ workspace }));
      const sums = series.map(({ points }) => points.reduce((sum, { value }) => sum + value, 0));
      expect(totalEvents).toBe(some.length);
      expect(sums.reduce((all, sum) => all + sum, 0)).toBe(some.length);
      const largest = [...tally(some, ({ touch }) => touch.place?.country ?? "").values()].map((list) => list.length);
      expect(sums[0] ?? 0).toBe(series.length > 1 ? Math.max(...largest) : 0);
    });
  });
});

describe("of a small campaign", () => {
  const workspace = "campaign";
  const by = () => ground.by({ workspace });
  beforeAll(async () => {
    const touch = (n: number, given: object) => touchOf({ id: `c${n}`, workspaceId: workspace, ...given });
    const redirected = { destination: "https://example.com/", method: "GET" };
    await ground.append([
      touch(1, { at: NOW - 9 * DAY, deviceId: "d1", ...redirected, rule: "german", conversationMessages: 3 }),
      touch(2, { at: NOW - 2 * DAY, deviceId: "d1", ...redirected }),
      touch(3, { at: NOW - 2 * DAY, deviceId: "d2", method: "GET" }),
      touch(4, { at: NOW - 1 * DAY, deviceId: "", codeId: "link_2" }),
      touch(5, { at: NOW - 1 * DAY, deviceId: "d3", verdict: 2, verdictReason: "isbot", method: "GET" }),
    ]);
    await ground.settle();
  });

  it("the funnel narrows from scan to conversation, by events", async () => {
    const { entryVisits, completionRate, steps } = await api().queryFunnel({}, by());
    expect(entryVisits).toBe(4n);
    expect(completionRate).toBe(25);
    expect(steps.map(({ stepKind, visits, dropOffFromPrevious }) => [stepKind, visits, dropOffFromPrevious])).toEqual([
      ["scan", 4n, 0n],
      ["redirect", 2n, 2n],
      ["conversation", 1n, 1n],
      ["identify", 0n, 1n],
    ]);
    expect(steps[1]?.branches.map(({ label, visits }) => [label, visits])).toEqual([
      ["german", 1n],
      ["https://example.com/", 1n],
    ]);
  });

  it("quality tells what became of every scan, programs too", async () => {
    const { total, links, destinations, rejected } = await api().queryQuality({ linkId: "link_1" }, by());
    expect(total).toMatchObject({
      scans: 4n,
      counted: 3n,
      redirected: 2n,
      shownPage: 1n,
      recorded: 0n,
      filtered: { isbot: 1n },
    });
    expect(total?.successRate).toBe(66.67);
    expect(links.map(({ linkId, quality }) => [linkId, quality?.scans])).toEqual([["link_1", 4n]]);
    expect(destinations.map(({ rule, scans }) => [rule, scans])).toEqual([
      ["", 1n],
      ["german", 1n],
    ]);
    expect(rejected).toBeUndefined();
  });

  it("compares with the week before, and with the average of earlier weeks", async () => {
    const week = { startDate: at(NOW - 7 * DAY + 1), endDate: at(NOW) };
    const before = await api().queryComparison({ ...week, dimension: "linkId" }, by());
    expect(before.events).toMatchObject({ current: 3, base: 1, change: 2, changePercent: 200 });
    expect(before.uniqueVisitors).toMatchObject({ current: 2, base: 1 });
    expect(before.members.map(({ code, events }) => [code, events?.change])).toEqual([
      ["link_1", 1],
      ["link_2", 1],
    ]);
    const weeks = await api().queryComparison({ ...week, base: ComparisonBase.EARLIER_WEEKS, weeks: 2 }, by());
    expect(weeks.base).toHaveLength(2);
    expect(weeks.events).toMatchObject({ current: 3, base: 0.5, changePercent: 500 });
  });

  it("campaigns are of the tags that links have now; a link of several is in each", async () => {
    const target = (codeId: string, tags: string[]) =>
      create(TargetSchema, {
        codeId,
        workspaceId: workspace,
        purpose: Purpose.MARKETING,
        status: TargetStatus.ACTIVE,
        tags,
      });
    ground.targets.push(target("link_1", ["spring", "north"]));
    const change = create(ObjectChangedSchema, { workspaceId: workspace, objectId: "link_1" });
    const payload = toBinary(ObjectChangedSchema, change);
    const position = await ground.log.append([{ subject: "codes.changed", key: "link_1", payload }], "tags of link_1");
    await until(() => (ground.gauges()["analytics.position"] ?? 0) >= position);
    const { campaigns, totalEvents } = await api().queryCampaigns({}, by());
    expect(totalEvents).toBe(4);
    expect(
      campaigns.map(({ tag, links, eventCount, uniqueVisitors, newVisitors, percentage }) => [
        tag,
        links,
        eventCount,
        uniqueVisitors,
        newVisitors,
        percentage,
      ]),
    ).toEqual([
      ["north", 1, 3, 2, 2, 75],
      ["spring", 1, 3, 2, 2, 75],
      ["", 1, 1, 0, 0, 25],
    ]);
    expect((await api().queryBreakdown({ dimension: "linkId", tag: "north" }, by())).total).toBe(3);
    expect((await api().queryBreakdown({ tag: "south" }, by())).total).toBe(0);
  });

  it("days of a month, top links, and why", async () => {
    expect((await api().listEventDays({ month: "2026-11", timezone: "UTC" }, by())).days).toEqual([11, 18, 19]);
    const { data, explanation } = await api().queryTopLinks({ explain: true }, by());
    expect(data.map(({ linkId, eventCount, uniqueVisitors }) => [linkId, eventCount, uniqueVisitors])).toEqual([
      ["link_1", 3, 2],
      ["link_2", 1, 0],
    ]);
    expect(explanation).toMatchObject({ behind: 0n, considered: 4n, filtered: { isbot: 1n }, withoutDevice: 1n });
  });
});

it("refuses what cannot be, and names the field", async () => {
  const refused = (call: Promise<unknown>) =>
    call.then(
      () => "answered",
      (error: ConnectError) => [error.code, fieldOf(error)],
    );
  const by = ground.by();
  const invalid = (field: string) => [Code.InvalidArgument, field];
  expect(await refused(api().queryBreakdown({ dimension: "colour" }, by))).toEqual(invalid("dimension"));
  expect(await refused(api().queryGeo({ groupBy: "browser" }, by))).toEqual(invalid("group_by"));
  expect(await refused(api().queryHours({ timezone: "Mars/Base" }, by))).toEqual(invalid("timezone"));
  expect(await refused(api().queryTopLinks({ limit: 5000 }, by))).toEqual(invalid("limit"));
  const reversed = { startDate: at(NOW), endDate: at(NOW - DAY) };
  expect(await refused(api().queryGroupedSeries(reversed, by))).toEqual(invalid("end_date"));
  const minutes = { startDate: at(NOW - 4000 * DAY), endDate: at(NOW), intervalInMinutes: 1 };
  expect(await refused(api().queryGroupedSeries(minutes, by))).toEqual(invalid("interval_in_minutes"));
  expect(await refused(api().listEventDays({ month: "2026-13" }, by))).toEqual(invalid("month"));
});
