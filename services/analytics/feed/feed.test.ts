import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DeviceType } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { Purpose, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround, until } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeEach(async () => {
  ground = await openAnalyticsGround();
});
afterEach(() => ground.close());

async function events(workspace = "acme") {
  const { json } = await ground.api.listEvents({ pageSize: 1_000, include: ["device"] }, ground.by({ workspace }));
  return json?.events ?? [];
}

const ids = async (workspace?: string) => (await events(workspace)).map(({ id }) => id).toSorted();

describe("an id counts once", () => {
  it("within an entry, across entries, across purposes, and in each workspace by itself", async () => {
    const { MEDICAL } = Purpose;
    await ground.append([touchOf({ id: "medical-first", purpose: MEDICAL })]);
    await ground.append([touchOf({ id: "a" }), touchOf({ id: "a", codeId: "link_2" }), touchOf({ id: "b" })]);
    await ground.append([
      touchOf({ id: "b", codeId: "link_2" }),
      touchOf({ id: "medical-first" }),
      touchOf({ id: "c" }),
    ]);
    await ground.append([touchOf({ id: "a", workspaceId: "other" })]);
    await ground.settle();
    await ground.append([touchOf({ id: "a", codeId: "link_3" }), touchOf({ id: "d", verdict: Verdict.BOT })]);
    await ground.settle();
    expect([await ids(), await ids("other")]).toEqual([["a", "b", "c"], ["a"]]);
    expect((await events()).map(({ linkId }) => linkId)).toEqual(["link_1", "link_1", "link_1"]);
  });
});

describe("the registry", () => {
  it("is waited for, with the long list asked once and how far it is asked again", async () => {
    expect(await ids()).toEqual([]);
    ground.registry.until = 0;
    const position = await ground.append(Array.from({ length: 300 }, (_, n) => touchOf({ id: `t${n}` })));
    await until(() => ground.registry.asked.length > 4);
    expect(await ids()).toEqual([]);
    ground.registry.until = position;
    await ground.settle();
    expect(await ids()).toHaveLength(300);
    const [first, ...rest] = ground.registry.asked;
    expect([first, rest.at(-1), ...new Set(rest.slice(0, -1))]).toEqual([300, 300, 1]);
  });

  it("is never asked for more than it takes, however long an entry is", async () => {
    await ground.append(Array.from({ length: 12_345 }, (_, n) => touchOf({ id: `t${n}` })));
    await ground.settle();
    const { totalEvents } = await ground.api.getEventMetrics({}, ground.by());
    expect(totalEvents).toBe(12_345);
    expect(Math.max(...ground.registry.asked)).toBeLessThanOrEqual(2_000);
  });

  it("that fails is asked again, and nothing is lost or shown twice", async () => {
    ground.registry.isDown = true;
    await ground.append([touchOf({ id: "a" }), touchOf({ id: "b" })]);
    await until(() => (ground.gauges()["analytics.failures"] ?? 0) > 0);
    expect(ground.gauges()["analytics.lag"]).toBeGreaterThan(0);
    ground.registry.isDown = false;
    await ground.settle();
    expect(await ids()).toEqual(["a", "b"]);
    expect(ground.gauges()["analytics.lag"]).toBe(0);
  });
});

describe("what stands on the log", () => {
  it("and cannot be read is left out and counted, and the rest goes on", async () => {
    const payload = Buffer.from("this is no message");
    await ground.log.append([{ subject: "touches.marketing", key: "x", payload }], randomUUID());
    const far = touchOf({ id: "far" });
    if (far.scannedAt !== undefined) far.scannedAt.seconds = 2n ** 62n;
    await ground.append([touchOf({ id: "" }), touchOf({ id: "a" }), far, touchOf({ id: "b", workspaceId: "" })]);
    await ground.settle();
    expect(await ids()).toEqual(["a"]);
    expect(ground.gauges()["analytics.unreadable"]).toBe(4);
  });

  it("and is of another purpose than its subject says stays outside", async () => {
    await ground.append([touchOf({ id: "a" }), touchOf({ id: "b", purpose: Purpose.MEDICAL }), touchOf({ id: "c" })]);
    await ground.settle();
    expect(await ids()).toEqual(["a", "c"]);
  });

  it("is kept at its limits: largest numbers, kinds of later versions, long texts, zero bytes", async () => {
    const device = { type: 300 as never, browser: "b".repeat(10_000) };
    const place = { asn: 2 ** 32 - 1, city: "a\u0000b 💡", country: "" };
    await ground.append([touchOf({ id: "a", deviceId: "d", device, place, at: -1 })]);
    const bare = touchOf({ id: "b", deviceId: "d" });
    delete bare.scannedAt;
    await ground.append([bare], NOW + 5);
    await ground.settle();
    const [later, first] = await events();
    expect(later?.scannedAt).toEqual(later?.createdAt);
    expect(first?.scannedAt).toMatchObject({ seconds: -1n, nanos: 999_000_000 });
    expect(first?.device).toMatchObject({ asn: 4_294_967_295n, city: "a\u0000b 💡", deviceType: DeviceType.UNKNOWN });
    expect(first?.device?.browserName).toHaveLength(10_000);
    expect(first?.device?.country ?? "").toBe("");
  });
});

describe("at low load", () => {
  it("a touch is visible within a second", async () => {
    const waits: number[] = [];
    for (let turn = 0; turn < 8; turn += 1) {
      await delay(turn * 37);
      const begun = performance.now();
      await ground.append([touchOf({ id: `t${turn}` })]);
      await until(async () => (await ids()).length === turn + 1);
      waits.push(performance.now() - begun);
    }
    expect(Math.max(...waits)).toBeLessThan(1_000);
  });
});
