import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ResponseFormat } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { Purpose, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const HOUR = 3_600_000;

describe("the wall", () => {
  it("keeps touches of other purposes, of programs and of other workspaces out of every answer", async () => {
    const marker = {
      workspaceId: "wall",
      deviceId: "secret-device",
      codeId: "secret-link",
      place: { city: "Secretville" },
    };
    const { LOST_AND_FOUND, MEDICAL, AMBASSADOR, TOUCHPOINT } = Purpose;
    for (const purpose of [MEDICAL, LOST_AND_FOUND, AMBASSADOR, TOUCHPOINT])
      await ground.append([touchOf({ ...marker, id: `secret-${purpose}`, purpose })]);
    await ground.append([touchOf({ ...marker, id: "secret-bot", verdict: Verdict.BOT })]);
    await ground.append([touchOf({ ...marker, id: "secret-other", workspaceId: "other" })]);
    await ground.append([touchOf({ workspaceId: "wall", id: "open", deviceId: "d" })]);
    await ground.settle();
    const key = ground.by({ workspace: "wall" });
    const all = { include: ["device", "visitor", "link", "workspace"] };
    const range = { startDate: timestampFromMs(NOW - 24 * HOUR), endDate: timestampFromMs(NOW) };
    const answers = await Promise.all([
      ground.api.listEvents(all, key),
      ground.api.listEvents({ responseFormat: ResponseFormat.CSV }, key),
      ground.api.listEvents({ linkId: "secret-link" }, key),
      ground.api.listVisitors({ include: ["devices", "events", "links"] }, key),
      ground.api.listVisitors({ search: "secret" }, key),
      ground.api.getEventMetrics({}, key),
      ground.api.queryTimeSeries(range, key),
    ]);
    expect(JSON.stringify(answers, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toMatch(
      /secret/i,
    );
    expect(answers[0].json?.totalCount).toBe(1n);
    expect(answers[2].json?.totalCount).toBe(0n);
    expect(answers[5].totalEvents).toBe(1);
    expect(answers[6].timeSeries?.totalData).toBe(1);
  });

  it("lets a development key see test data of the last 30 days, and no other key any", async () => {
    const at = NOW - 31 * 24 * HOUR;
    await ground.append([
      touchOf({ workspaceId: "dev", id: "old", test: true, at }),
      touchOf({ workspaceId: "dev", id: "new", test: true }),
      touchOf({ workspaceId: "dev", id: "real", at }),
    ]);
    await ground.settle();
    const ids = async (test: boolean) => {
      const request = { startDate: timestampFromMs(at - HOUR) };
      const { json } = await ground.api.listEvents(request, ground.by({ workspace: "dev", test }));
      return json?.events.map(({ id }) => id);
    };
    expect([await ids(true), await ids(false)]).toEqual([["new"], ["real"]]);
  });
});
