import type { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { DeviceChange } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
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
});
