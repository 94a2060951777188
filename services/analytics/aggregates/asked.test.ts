import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AggregateService, CalendarInterval } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const api = () => ground.client(AggregateService);
const DAY = 86_400_000;
const at = (ms: number) => timestampFromMs(ms);

type Api = ReturnType<typeof api>;
type Call = (client: Api, by: Parameters<Api["queryHours"]>[1]) => Promise<unknown>;

describe("refuses", () => {
  const reversed = { startDate: at(NOW), endDate: at(NOW - DAY) };
  const long = { startDate: at(NOW - 4_000 * DAY), endDate: at(NOW) };
  it.each<[string, string, Call]>([
    ["an unknown dimension", "dimension", (on, by) => on.queryBreakdown({ dimension: "colour" }, by)],
    ["an unknown dimension to compare by", "dimension", (on, by) => on.queryComparison({ dimension: "colour" }, by)],
    ["what is no place", "group_by", (on, by) => on.queryGeo({ groupBy: "browser" }, by)],
    ["an unknown zone", "timezone", (on, by) => on.queryHours({ timezone: "Mars/Base" }, by)],
    ["an offset in place of a zone", "timezone", (on, by) => on.queryCampaigns({ timezone: "+02:00" }, by)],
    ["an empty tag", "tag", (on, by) => on.queryFunnel({ tag: "" }, by)],
    ["a limit beyond the most", "limit", (on, by) => on.queryTopLinks({ limit: 5_000 }, by)],
    ["a limit of none", "limit", (on, by) => on.queryGroupedSeries({ limit: 0 }, by)],
    ["no weeks", "weeks", (on, by) => on.queryComparison({ weeks: 0 }, by)],
    ["a reversed range", "end_date", (on, by) => on.queryGroupedSeries(reversed, by)],
    ["a reversed range to compare", "end_date", (on, by) => on.queryComparison(reversed, by)],
    ["a reversed range of quality", "end_date", (on, by) => on.queryQuality(reversed, by)],
    [
      "too many minutes",
      "interval_in_minutes",
      (on, by) => on.queryVisitorTrend({ ...long, intervalInMinutes: 1 }, by),
    ],
    ["too many hours", "interval", (on, by) => on.queryGroupedSeries({ ...long, interval: CalendarInterval.HOUR }, by)],
    [
      "too many points",
      "interval_in_minutes",
      (on, by) => on.queryGroupedSeries({ ...long, intervalInMinutes: 1_440, groupBy: 1, limit: 50 }, by),
    ],
    ["a month that is none", "month", (on, by) => on.listEventDays({ month: "2026-13" }, by)],
  ])("%s, and names the field", async (_what, field, call) => {
    const refusal = await call(api(), ground.by()).then(
      () => "answered",
      (error: ConnectError) => [error.code, fieldOf(error)],
    );
    expect(refusal).toEqual([Code.InvalidArgument, field]);
  });

  it("lists the dimensions that there are", async () => {
    const told = (call: Promise<unknown>) =>
      call.then(
        () => "",
        (error: ConnectError) => error.rawMessage,
      );
    expect(await told(api().queryBreakdown({ dimension: "colour" }, ground.by()))).toMatch(
      /^dimension must be one of: country, city, deviceType, .*, tag, hourOfDay, weekday$/,
    );
    expect(await told(api().queryGeo({ groupBy: "browser" }, ground.by()))).toBe(
      "group_by must be one of: country, city, region",
    );
  });
});

describe("every answer", () => {
  const workspace = "why";
  beforeAll(async () => {
    const touch = (n: number, given: object) =>
      touchOf({ id: `w${n}`, workspaceId: workspace, deviceId: "d1", at: NOW - DAY, method: "GET", ...given });
    await ground.append([
      touch(1, {}),
      touch(2, { deviceId: "" }),
      touch(3, { verdict: 2, verdictReason: "isbot" }),
      touch(4, { codeId: "link_2" }),
      touch(5, { test: true }),
      touch(6, { test: true, at: NOW - 31 * DAY }),
    ]);
    await ground.settle();
  });

  const CALLS: readonly [string, string, Call][] = [
    ["series", "time-series", (on, by) => on.queryGroupedSeries({ explain: true }, by)],
    ["visitors", "new-and-returning-visitors", (on, by) => on.queryVisitorTrend({ explain: true }, by)],
    ["breakdown", "breakdown", (on, by) => on.queryBreakdown({ explain: true }, by)],
    ["geo", "breakdown", (on, by) => on.queryGeo({ explain: true }, by)],
    ["devices", "breakdown", (on, by) => on.queryDevices({ explain: true }, by)],
    ["hours", "hours-of-the-day", (on, by) => on.queryHours({ explain: true }, by)],
    ["top links", "top-links", (on, by) => on.queryTopLinks({ explain: true }, by)],
    ["funnel", "funnel-of-a-link", (on, by) => on.queryFunnel({ explain: true }, by)],
    ["campaigns", "campaigns", (on, by) => on.queryCampaigns({ explain: true }, by)],
    ["comparison", "comparison", (on, by) => on.queryComparison({ explain: true }, by)],
    ["days", "totals-of-the-workspace", (on, by) => on.listEventDays({ month: "2026-11", explain: true }, by)],
  ];

  it.each(CALLS)("of %s says where it is from", async (_what, heading, call) => {
    expect(await call(api(), ground.by({ workspace }))).toMatchObject({
      explanation: {
        behind: 0n,
        considered: 3n,
        filtered: { isbot: 1n },
        withoutDevice: 1n,
        timezone: "UTC",
        definition: `docs/analytics.md#${heading}`,
      },
    });
  });

  it("of quality does so too, and has nothing where it was not asked for", async () => {
    const by = ground.by({ workspace });
    const { explanation } = await api().queryQuality({ linkId: "link_1", explain: true }, by);
    expect(explanation).toMatchObject({ considered: 2n, filtered: { isbot: 1n } });
    expect((await api().queryBreakdown({}, by)).explanation).toBeUndefined();
  });

  it("adds what is to be minded: tags, and times that are not shown", async () => {
    const notes = async (call: Promise<{ explanation?: { notes: string[] } | undefined }>) =>
      (await call).explanation?.notes;
    const by = ground.by({ workspace });
    const test = ground.by({ workspace, test: true, keyClass: "development" });
    const none = await notes(api().queryBreakdown({ dimension: "country", explain: true }, by));
    const tags = await notes(api().queryBreakdown({ dimension: "tag", explain: true }, by));
    const fresh = await notes(api().queryVisitorTrend({ explain: true }, test));
    const month = { startDate: at(NOW - 20 * DAY), explain: true };
    const before = await notes(api().queryComparison(month, test));
    expect([none, await notes(api().queryComparison(month, by))]).toEqual([[], []]);
    expect([tags, fresh, before].map((some) => some?.join())).toEqual([
      expect.stringContaining("each tag"),
      expect.stringContaining("count as new"),
      expect.stringContaining("not shown any more"),
    ]);
  });

  it("of a development key has the test data of 30 days, and of another workspace nothing", async () => {
    const test = ground.by({ workspace, test: true, keyClass: "development" });
    expect((await api().queryBreakdown({ startDate: at(NOW - 90 * DAY) }, test)).total).toBe(1);
    expect((await api().queryBreakdown({}, ground.by({ workspace: "nowhere" }))).total).toBe(0);
  });

  it("is narrowed by link, and by both ends of the range inclusively", async () => {
    const by = ground.by({ workspace });
    const total = async (request: object) => (await api().queryBreakdown(request, by)).total;
    expect(await total({ linkId: "link_2" })).toBe(1);
    expect(await total({ linkId: "" })).toBe(3);
    expect(await total({ startDate: at(NOW - DAY), endDate: at(NOW - DAY) })).toBe(3);
    expect(await total({ startDate: at(NOW - DAY + 1) })).toBe(0);
    expect(await total({ endDate: at(NOW - DAY - 1) })).toBe(0);
  });

  it("of metrics and the vendor's series can be narrowed by tag", async () => {
    const by = ground.by({ workspace });
    expect((await ground.api.getEventMetrics({ tag: "none" }, by)).totalEvents).toBe(0);
    const range = { startDate: at(NOW - 2 * DAY), endDate: at(NOW) };
    expect((await ground.api.queryTimeSeries({ ...range, tag: "none" }, by)).timeSeries?.totalData).toBe(0);
    expect((await ground.api.queryTimeSeries(range, by)).timeSeries?.totalData).toBe(3);
  });
});
