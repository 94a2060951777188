import type { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { DeviceChange } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { pseudonymLike } from "./test-judge.ts";
import { openRevising } from "./test-revising.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const { made, applied, numbers } = openRevising(() => ground);

describe("a revision by identity rules", () => {
  it("gives touches other devices, and their events can be told by and identified as before", async () => {
    const own = { workspaceId: "owners", codeId: "link_1" };
    const shared = ["s1", "s2", "s3"].map((id) => touchOf({ ...own, id, deviceId: "till" }));
    await ground.append([touchOf({ ...own, id: "a", deviceId: "d1" }), ...shared]);
    await ground.settle();
    const identity = { devices: DeviceIdentitySetting.DAILY, maxScansPerDayPerDevice: 2 };
    const revision = await made({}, { workspace: "owners", identity });
    expect(revision.rules).toMatchObject({ identity });
    expect(revision.difference).toMatchObject({
      ...{ changed: 4n, moves: [], totals: { eventsAfter: 4n, visitorsBefore: 2n, visitorsAfter: 1n } },
      deviceMoves: [
        { change: DeviceChange.SHARED, touches: 3n },
        { change: DeviceChange.DAILY, touches: 1n },
      ],
    });
    expect(revision.difference?.sample.map(({ eventId, deviceChange }) => [eventId, deviceChange])).toEqual([
      ["a", DeviceChange.DAILY],
      ...["s1", "s2", "s3"].map((id) => [id, DeviceChange.SHARED]),
    ]);
    await applied(revision.id, "owners");
    const by = ground.by({ workspace: "owners" });
    const identify = (id: string) =>
      ground
        .client(VisitorService)
        .identifyVisitor({ lbid: Buffer.from(id).toString("base64url"), visitor: { data: { plan: "pro" } } }, by);
    const { visitor } = await identify("a");
    expect(visitor?.id).toBe(`vis_d1+${Math.floor(NOW / 86_400_000)}`);
    expect((await numbers("owners")).ids).toEqual([
      ["a", visitor?.id],
      ...["s1", "s2", "s3"].map((id) => [id, undefined]),
    ]);
    expect(fieldOf((await identify("s1").catch((cause) => cause)) as ConnectError)).toBe("lbid");
  });

  it("counts for a shared device only what counts, of its day", async () => {
    const day = Math.floor(NOW / 86_400_000);
    const own = { workspaceId: "counted", deviceId: `d1+${day}` };
    const filtered = { ...own, verdict: Verdict.BOT, verdictReason: "isbot" };
    const programs = ["f1", "f2"].map((id) => touchOf({ ...filtered, id }));
    await ground.append([
      touchOf({ ...own, id: "a" }),
      touchOf({ ...own, id: "b", at: NOW - 86_400_000 }),
      ...programs,
    ]);
    await ground.settle();
    const { difference } = await made({}, { workspace: "counted", identity: { maxScansPerDayPerDevice: 1 } });
    expect(difference).toMatchObject({ considered: 4n, changed: 0n, deviceMoves: [], totals: { visitorsAfter: 1n } });
  });

  it("leaves touches to those who were identified or forgotten since it was computed", async () => {
    const devices = ["known", "gone", "other"];
    await ground.append(devices.map((deviceId) => touchOf({ workspaceId: "since", id: `e-${deviceId}`, deviceId })));
    await ground.settle();
    const revision = await made({}, { workspace: "since", identity: { devices: DeviceIdentitySetting.NONE } });
    const by = ground.by({ workspace: "since" });
    const people = ground.client(VisitorService);
    const lbid = Buffer.from("e-known").toString("base64url");
    await people.identifyVisitor({ lbid, visitor: { data: { $email: "ann@example.com" } } }, by);
    await people.deleteVisitor({ id: "vis_gone" }, by);
    const after = await applied(revision.id, "since");
    expect([after.difference?.changed, after.applied]).toEqual([3n, 1n]);
    expect((await numbers("since")).ids).toEqual([
      ["e-known", "vis_known"],
      ["e-other", undefined],
    ]);
    await ground.append([touchOf({ workspaceId: "since", id: "e-gone2", deviceId: "gone" })]);
    await ground.settle();
    const again = await made({}, { workspace: "since", identity: { devices: DeviceIdentitySetting.NONE } });
    expect((await applied(again.id, "since")).applied).toBe(1n);
    expect((await numbers("since")).ids).toContainEqual(["e-gone2", undefined]);
  });

  it("gives touches to whoever has the device that they are of now, and never takes that for one that is shared", async () => {
    const signs = { workspaceId: "joined", ip: "203.0.113.1", userAgent: "Safari/1" };
    const day = Math.floor(NOW / 86_400_000);
    const pseudonym = (span: "good" | "day") => pseudonymLike(signs, { isWhole: true, span, day });
    await ground.append([
      touchOf({ workspaceId: "joined", id: "own", deviceId: "1own" }),
      touchOf({ ...signs, id: "good", deviceId: pseudonym("good") }),
      ...["day1", "day2"].map((id) => touchOf({ ...signs, id, deviceId: pseudonym("day") })),
    ]);
    await ground.settle();
    const by = ground.by({ workspace: "joined" });
    for (const id of ["own", "good"]) {
      const lbid = Buffer.from(id).toString("base64url");
      const visitor = { data: { $email: "ann@example.com" } };
      await ground.client(VisitorService).identifyVisitor({ lbid, visitor }, by);
    }
    const identity = { devices: DeviceIdentitySetting.STABLE, maxScansPerDayPerDevice: 1 };
    const revision = await made({}, { workspace: "joined", identity });
    expect(revision.difference).toMatchObject({
      ...{ changed: 2n, unjudgedDevices: 0n, totals: { visitorsBefore: 2n, visitorsAfter: 1n } },
      deviceMoves: [{ change: DeviceChange.STABLE, touches: 2n }],
    });
    await applied(revision.id, "joined");
    expect((await numbers("joined")).ids).toEqual(["day1", "day2", "good", "own"].map((id) => [id, "vis_1own"]));
  });
});
