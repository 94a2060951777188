import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ForecastMethod, ForecastMetric, ForecastService } from "#gen/waymark/analytics/v1/forecast_pb.ts";
import { Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { WEEK } from "./test-series.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;
/** The midnight of the day on which tests stand. */
const TODAY = Date.parse("2026-11-20T00:00:00Z");

let ground: AnalyticsGround;
let api: Client<typeof ForecastService>;
beforeAll(async () => {
  ground = await openAnalyticsGround();
  api = ground.client(ForecastService);
  await append("weeks", 42, (daysAgo) => Math.round(10 * (WEEK[daysAgo % 7] as number)));
  await append("thin", 27, () => 5);
  await append("few", 60, () => 0.5);
  await ground.settle();
});
afterAll(() => ground.close());

/** So many touches on each of the days before today, from 9 o'clock on; half a touch is one every other day. */
async function append(workspaceId: string, days: number, of: (daysAgo: number) => number): Promise<void> {
  const touches = [];
  for (let daysAgo = days; daysAgo >= 1; daysAgo -= 1) {
    const count = Math.floor(of(daysAgo) * daysAgo) - Math.floor(of(daysAgo) * (daysAgo - 1));
    for (let n = 0; n < count; n += 1) {
      const [id, codeId] = [`${daysAgo}.${n}`, n % 5 === 0 ? "link_2" : "link_1"];
      touches.push(
        touchOf({ workspaceId, id, codeId, deviceId: `d${n % 4}`, at: TODAY - daysAgo * DAY + 9 * HOUR + n }),
      );
    }
  }
  touches.push(touchOf({ workspaceId, id: "today", deviceId: "d", at: NOW - 1 }));
  touches.push(touchOf({ workspaceId, id: "bot", deviceId: "d", at: NOW - DAY, verdict: Verdict.BOT }));
  await ground.append(touches);
}

const key = (workspace: string, who = {}) => ground.by({ workspace, ...who });
const refused = async (call: Promise<unknown>) => {
  const error = (await call.then(
    () => undefined,
    (caught: unknown) => caught,
  )) as ConnectError;
  return { code: error.code, reason: reasonOf(error)?.reason, message: error.rawMessage, field: fieldOf(error) };
};

describe("a forecast", () => {
  it("of a week that comes again is that week, from today on, with its back-test", async () => {
    const reply = await api.forecast({ days: 9 }, key("weeks"));
    const wanted = Array.from({ length: 9 }, (_, index) => Math.round(10 * (WEEK[(70 - index) % 7] as number)));
    expect(reply.points.map(({ date }) => date)[0]).toBe("2026-11-20");
    expect(reply.points.map(({ date }) => date).at(-1)).toBe("2026-11-28");
    expect(reply.points.map(({ expected }) => expected)).toEqual(wanted);
    expect(reply.method).toBe(ForecastMethod.SEASONAL_BASELINE);
    expect(reply.backtest).toMatchObject({ mae: 0, baselineMae: 0, ratio: 1, coverage: 1, level: 0.8, folds: 21 });
    expect(reply.history).toMatchObject({ firstDate: "2026-10-09", lastDate: "2026-11-19", days: 42, total: 420n });
    expect([reply.timezone, reply.explanation]).toEqual(["UTC", undefined]);
    expect(reply.bestTimes[0]).toMatchObject({ hour: 9 });
    expect(reply.bestTimes).toHaveLength(3);
  });

  it("of a link, of visitors, of a range, has its own history", async () => {
    const total = async (request: Parameters<typeof api.forecast>[0]) =>
      (await api.forecast(request, key("weeks"))).history?.total;
    expect(await total({ linkId: "link_2" })).toBe(102n);
    expect(await total({ metric: ForecastMetric.UNIQUE_VISITORS })).toBe(42n * 4n);
    const endDate = timestampFromMs(TODAY - 7 * DAY);
    const ended = await api.forecast({ endDate, days: 2 }, key("weeks"));
    expect(ended.history).toMatchObject({ lastDate: "2026-11-12", days: 35 });
    expect(ended.points.map(({ date }) => date)).toEqual(["2026-11-13", "2026-11-14"]);
    const startDate = timestampFromMs(TODAY - 30 * DAY);
    expect((await api.forecast({ startDate }, key("weeks"))).history).toMatchObject({
      firstDate: "2026-10-21",
      days: 30,
    });
  });

  it("is kept with its back-test until a day is added or changed", async () => {
    await append("kept", 40, () => 3);
    await ground.settle();
    const first = await api.forecast({}, key("kept"));
    ground.clock.now = NOW + HOUR;
    const again = await api.forecast({}, key("kept"));
    expect(again.history?.computedAt).toEqual(timestampFromMs(NOW));
    expect(again.backtest).toEqual(first.backtest);
    await ground.append([touchOf({ workspaceId: "kept", id: "late", at: TODAY - 3 * DAY })]);
    await ground.settle();
    const late = await api.forecast({}, key("kept"));
    expect([late.history?.computedAt, late.history?.total]).toEqual([timestampFromMs(NOW + HOUR), 121n]);
    ground.clock.now = NOW + DAY;
    expect((await api.forecast({}, key("kept"))).history).toMatchObject({ lastDate: "2026-11-20", days: 41 });
    ground.clock.now = NOW;
  });

  it("says where it comes from when it is asked to", async () => {
    const { explanation } = await api.forecast({ explain: true, timezone: "Europe/Berlin" }, key("weeks"));
    expect(explanation).toMatchObject({
      considered: 421n,
      filtered: { other: 1n },
      timezone: "Europe/Berlin",
    });
  });

  it.each([
    ["thin", "here are 27 days with 135"],
    ["few", "here are 60 days with 30"],
    ["nobody", "here are 0 days with 0"],
  ])("of the workspace %s is refused, and says what it needs", async (workspace, here) => {
    const answer = await refused(api.forecast({}, key(workspace)));
    expect(answer).toMatchObject({ code: Code.FailedPrecondition, reason: "FORECAST_TOO_THIN" });
    expect(answer.message).toContain("needs 28 complete days with 50 events");
    expect(answer.message).toContain(here);
  });

  it("of test data is another one", async () => {
    expect(await refused(api.forecast({}, key("weeks", { test: true })))).toMatchObject({
      reason: "FORECAST_TOO_THIN",
    });
  });

  it.each([
    ["days", { days: 0 }],
    ["days", { days: 91 }],
    ["level", { level: 0.49 }],
    ["level", { level: 1 }],
    ["timezone", { timezone: "Mars/Olympus" }],
    ["metric", { metric: 99 }],
    ["end_date", { startDate: timestampFromMs(NOW), endDate: timestampFromMs(NOW - 1) }],
  ] as [string, Parameters<typeof api.forecast>[0]][])(
    "with a wrong %s is refused",
    async (field, request: Parameters<typeof api.forecast>[0]) => {
      expect(await refused(api.forecast(request, key("weeks")))).toMatchObject({ code: Code.InvalidArgument, field });
    },
  );
});

describe("the best time", () => {
  it("is the hour with most events in the zone", async () => {
    const reply = await api.findBestTime({ timezone: "Asia/Tokyo", limit: 7 }, key("weeks"));
    expect(reply.slots.map(({ hour }) => hour)).toEqual(new Array(7).fill(18));
    expect(new Set(reply.slots.map(({ weekday }) => weekday)).size).toBe(7);
    expect(reply.totalEvents).toBe(421n);
    expect(reply.slots.reduce((sum, { share }) => sum + share, 0)).toBeGreaterThan(90);
    for (const { low, share, high } of reply.slots) expect([low < share, share < high]).toEqual([true, true]);
  });

  it("of too little is refused, and says what it needs", async () => {
    const answer = await refused(
      api.findBestTime({ linkId: "link_2", startDate: timestampFromMs(TODAY - 35 * DAY) }, key("weeks")),
    );
    expect(answer).toMatchObject({ code: Code.FailedPrecondition, reason: "BEST_TIME_TOO_THIN" });
    expect(answer.message).toMatch(/needs 100 events over 2 weeks; here are 85 over 5\.0 weeks/);
    expect(await refused(api.findBestTime({ limit: 169 }, key("weeks")))).toMatchObject({ field: "limit" });
  });
});
