import type { JsonObject } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const api = () => ground.client(VisitorService);
const lbidOf = (id: string) => Buffer.from(id).toString("base64url");
let run = 0;

/** A workspace in which each of these devices has scanned, its event named after it; some have scanned twice. */
async function workspaceWith(devices: readonly string[]) {
  run += 1;
  const workspace = `people${run}`;
  const touches = devices.flatMap((deviceId, n) => {
    const first = touchOf({ id: `e-${deviceId}`, workspaceId: workspace, deviceId, at: NOW - n * 1_000 - 1 });
    const second = touchOf({ id: `f-${deviceId}`, workspaceId: workspace, deviceId, codeId: "link_2", at: NOW - n });
    return n % 2 === 0 ? [first, second] : [first];
  });
  await ground.append(touches);
  await ground.settle();
  const by = ground.by({ workspace });
  const identify = (device: string, data: JsonObject, setOnce = false) =>
    api().identifyVisitor({ lbid: lbidOf(`e-${device}`), setOnce, visitor: { data } }, by);
  const list = async (request = {}) => (await ground.api.listVisitors(request, by)).json?.visitors ?? [];
  const events = async (request = {}) => (await ground.api.listEvents(request, by)).json?.events ?? [];
  return { workspace, by, identify, list, events };
}

const refused = (call: Promise<unknown>) =>
  call.then(
    () => "answered",
    (error: ConnectError) => [error.code, fieldOf(error)],
  );

describe("a visitor", () => {
  it("is known by what is said, with types, and can be read at once", async () => {
    const { by, identify, list } = await workspaceWith(["d1", "d2"]);
    const data = {
      $email: "Ann@Example.com",
      $firstName: "Ann",
      plan: "pro",
      seats: 3,
      active: true,
      since: "2026-01-31",
    };
    const { created, visitor } = await identify("d1", data);
    expect(created).toBe(true);
    expect(visitor).toMatchObject({
      id: "vis_d1",
      email: "ann@example.com",
      firstName: "Ann",
      visitCount: 2n,
      deviceCount: 1n,
    });
    expect(
      visitor?.attributes.map(({ key, value, numberValue, boolValue }) => [key, value, numberValue, boolValue]),
    ).toEqual([
      ["active", "true", undefined, true],
      ["plan", "pro", undefined, undefined],
      ["seats", "3", 3, undefined],
      ["since", "2026-01-31", undefined, undefined],
    ]);
    expect((await identify("d1", { plan: "free", city: "Berlin" }, true)).created).toBe(false);
    const known = (await api().getVisitor({ id: "vis_d1", include: ["devices", "links", "events"] }, by)).visitor;
    expect(known?.attributes.find(({ key }) => key === "plan")?.value).toBe("pro");
    expect(known?.attributes.find(({ key }) => key === "city")?.value).toBe("Berlin");
    expect(known?.events).toHaveLength(2);
    const { visitor: changed } = await api().updateVisitor(
      { id: "vis_d1", visitor: { data: { plan: null, seats: 4 } } },
      by,
    );
    expect(changed?.attributes.map(({ key, value }) => `${key}=${value}`)).toEqual([
      "active=true",
      "city=Berlin",
      "seats=4",
      "since=2026-01-31",
    ]);
    expect((await list({ email: "ANN@example.com" })).map(({ id }) => id)).toEqual(["vis_d1"]);
    expect((await list({ search: "aNn" })).map(({ id }) => id)).toEqual(["vis_d1"]);
    expect((await list({ search: "IS_D2" })).map(({ id }) => id)).toEqual(["vis_d2"]);
    expect((await api().listAttributeKeys({}, by)).attributeKeys).toEqual([
      "$email",
      "$firstName",
      "active",
      "city",
      "seats",
      "since",
    ]);
    expect(await api().queryAttributeMetric({ key: "seats" }, by)).toMatchObject({
      audienceCount: 2,
      totalCount: 1,
      averageValue: 4,
      coverageRate: 50,
    });
    expect((await api().queryAttributeDistribution({ key: "city" }, by)).data).toMatchObject([
      { label: "Berlin", visitorCount: 1, percentage: 100 },
    ]);
    const reader = ground.by({ workspace: `people${run}`, keyClass: "analytics", scopes: ["analytics:read"] });
    expect(await refused(api().queryAttributeDistribution({ key: "$email" }, reader))).toEqual([
      Code.PermissionDenied,
      undefined,
    ]);
    expect((await api().queryAttributeDistribution({ key: "city" }, reader)).total).toBe(1);
    expect((await api().queryAttributeValues({ key: "city" }, by)).data.map(({ value }) => value)).toEqual(["Berlin"]);
  });

  it("of two devices with one address is one, for the past too, and answers by the old id", async () => {
    const { by, identify, list, events } = await workspaceWith(["d1", "d2", "d3"]);
    await identify("d1", { $email: "bo@example.com", plan: "pro" });
    const { created, visitor } = await identify("d2", { $email: "bo@example.com", city: "Paris" });
    expect(created).toBe(false);
    expect(visitor).toMatchObject({ id: "vis_d1", deviceCount: 2n, visitCount: 3n, qrcodeCount: 2n });
    expect(visitor?.attributes.map(({ key }) => key)).toEqual(["city", "plan"]);
    expect((await list()).map(({ id }) => id).sort()).toEqual(["vis_d1", "vis_d3"]);
    expect((await api().getVisitor({ id: "vis_d2" }, by)).visitor?.id).toBe("vis_d1");
    expect((await events({ visitorId: "vis_d1" })).map(({ id }) => id).sort()).toEqual(["e-d1", "e-d2", "f-d1"]);
    expect((await events({ visitorId: "vis_d2", include: ["visitor"] }))[0]?.visitor?.email).toBe("bo@example.com");
  });

  it("that many identify at the same time ends as one", async () => {
    const devices = ["d1", "d2", "d3", "d4", "d5"];
    const { identify, list } = await workspaceWith(devices);
    await Promise.all(devices.map((device) => identify(device, { $email: "all@example.com" })));
    await identify("d1", { last: true });
    const visitors = await list();
    expect(visitors).toHaveLength(1);
    expect(visitors[0]).toMatchObject({ deviceCount: 5n, visitCount: 8n });
  });

  it("that is deleted is gone with its events; the device is somebody new afterwards", async () => {
    const { workspace, by, identify, list, events } = await workspaceWith(["d1", "d2", "d3"]);
    await identify("d1", { $email: "cy@example.com" });
    await identify("d2", { $email: "cy@example.com" });
    expect(await api().deleteVisitor({ id: "vis_d2" }, by)).toMatchObject({ success: true });
    expect((await list()).map(({ id }) => id)).toEqual(["vis_d3"]);
    expect((await events()).map(({ id }) => id).sort()).toEqual(["e-d3", "f-d3"]);
    expect(await refused(api().getVisitor({ id: "vis_d1" }, by))).toEqual([Code.NotFound, undefined]);
    await ground.append([touchOf({ id: "again", workspaceId: workspace, deviceId: "d1", at: NOW })]);
    await ground.settle();
    expect((await list({ search: "d1" }))[0]).toMatchObject({ id: "vis_d1", visitCount: 1n });
    const { created, visitor } = await api().identifyVisitor(
      { lbid: lbidOf("again"), visitor: { data: { $email: "cy@example.com" } } },
      by,
    );
    expect([created, visitor?.deviceCount, visitor?.visitCount]).toEqual([true, 1n, 1n]);
  });

  it("is not seen by other workspaces and worlds", async () => {
    const { workspace, identify } = await workspaceWith(["d1"]);
    await identify("d1", { $email: "di@example.com" });
    for (const by of [ground.by({ workspace: "elsewhere" }), ground.by({ workspace, test: true })]) {
      expect(await refused(api().getVisitor({ id: "vis_d1" }, by))).toEqual([Code.NotFound, undefined]);
      expect(await refused(api().deleteVisitor({ id: "vis_d1" }, by))).toEqual([Code.NotFound, undefined]);
      expect((await ground.api.listVisitors({ email: "di@example.com" }, by)).json?.visitors).toEqual([]);
    }
  });

  it("of which something impossible is said is left as it was", async () => {
    const { by, identify } = await workspaceWith(["d1"]);
    const data: JsonObject[] = [
      {},
      { $nick: "x" },
      { $email: "no address" },
      { $phone: 3 },
      { list: [1] },
      { long: "x".repeat(3_000) },
      { ["k".repeat(101)]: 1 },
    ];
    for (const said of data) {
      const [code, field] = (await refused(identify("d1", said))) as [Code, string];
      expect([code, field.startsWith("visitor.data")]).toEqual([Code.InvalidArgument, true]);
    }
    expect(await refused(api().identifyVisitor({ lbid: "%%%", visitor: { data: { a: 1 } } }, by))).toEqual([
      Code.InvalidArgument,
      "lbid",
    ]);
    expect(await refused(api().identifyVisitor({ lbid: lbidOf("none"), visitor: { data: { a: 1 } } }, by))).toEqual([
      Code.NotFound,
      "lbid",
    ]);
    expect((await api().getVisitor({ id: "vis_d1" }, by)).visitor?.attributes).toEqual([]);
  });
});

/** What is done to visitors; devices and addresses are few, so that they meet. */
const deed = fc.record({
  device: fc.constantFrom("a", "b", "c", "d"),
  email: fc.constantFrom(undefined, "x@example.com", "y@example.com"),
  value: fc.constantFrom(undefined, "1", "2"),
  isDeleted: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

it("visitors are the parts of devices that plain code finds, whatever is said in whatever order", async () => {
  const property = fc.asyncProperty(fc.array(deed, { minLength: 1, maxLength: 8 }), async (deeds) => {
    const { by, identify, list } = await workspaceWith(["a", "b", "c", "d"]);
    const groups = new Map<string, { devices: Set<string>; email?: string | undefined }>();
    for (const device of ["a", "b", "c", "d"]) groups.set(device, { devices: new Set([device]) });
    for (const { device, email, value, isDeleted } of deeds) {
      const group = groups.get(device);
      if (group === undefined) continue;
      if (isDeleted) {
        await api().deleteVisitor({ id: `vis_${device}` }, by);
        for (const gone of group.devices) groups.delete(gone);
        continue;
      }
      const data: JsonObject = { touched: true };
      if (email !== undefined) data.$email = email;
      if (value !== undefined) data.value = value;
      await identify(device, data);
      if (email === undefined) continue;
      const other = [...groups.values()].find((one) => one !== group && one.email === email);
      group.email = email;
      if (other === undefined) continue;
      for (const moved of other.devices) {
        group.devices.add(moved);
        groups.set(moved, group);
      }
    }
    const wanted = [...new Set(groups.values())].map(({ devices, email }) => `${devices.size} ${email ?? ""}`).sort();
    expect((await list()).map(({ deviceCount, email }) => `${deviceCount} ${email ?? ""}`).sort()).toEqual(wanted);
  });
  await fc.assert(property, { numRuns: 6, endOnFailure: true });
});
