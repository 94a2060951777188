import { fromBinary, type JsonObject } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { ResponseFormat } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { VisitorChangedSchema, VisitorChangeSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { type AnalyticsGround, fieldOf, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const api = () => ground.client(VisitorService);
const lbidOf = (id: string) => Buffer.from(id).toString("base64url");
let run = 0;

/** A workspace in which each device has scanned once: its event is named after it. */
async function workspaceWith(...devices: string[]) {
  run += 1;
  const workspaceId = `told${run}`;
  await ground.append(devices.map((deviceId) => touchOf({ id: `e-${deviceId}`, workspaceId, deviceId })));
  await ground.settle();
  const by = ground.by({ workspace: workspaceId, scopes: ["visitors:read", "visitors:write", "analytics:read"] });
  const identify = (device: string, data: JsonObject, setOnce = false) =>
    api().identifyVisitor({ lbid: lbidOf(`e-${device}`), setOnce, visitor: { data } }, by);
  const list = async (request = {}) => (await ground.api.listVisitors(request, by)).json?.visitors ?? [];
  return { workspaceId, by, identify, list };
}

/** What the log was told about a workspace. */
async function toldOf(workspaceId: string): Promise<string[]> {
  const told: string[] = [];
  for await (const entries of ground.log.read({ after: 0, subjects: ["visitors.changed"] }))
    for (const { payload } of entries) {
      const change = fromBinary(VisitorChangedSchema, payload);
      if (change.workspaceId === workspaceId)
        told.push(
          `${VisitorChangeSchema.value[change.change]?.localName} ${change.visitorId} ${[...change.mergedIds, ...change.deviceIds]}`,
        );
    }
  return told;
}

const refused = (call: Promise<unknown>) =>
  call.then(
    () => "answered",
    (error: ConnectError) => [error.code, fieldOf(error)],
  );

const dies = () => vi.spyOn(ground.log, "append").mockRejectedValueOnce(new Error("the process is dead"));

it("who is identified while the log fails is told of by a repetition", async () => {
  const { workspaceId, identify, list } = await workspaceWith("a", "b");
  await identify("a", { $email: "ann@example.com" });
  dies();
  expect(await refused(identify("b", { $email: "ann@example.com" }))).not.toBe("answered");
  expect(await list()).toHaveLength(2);
  const { visitor } = await identify("b", { $email: "ann@example.com" });
  expect([visitor?.id, visitor?.deviceCount]).toEqual(["vis_a", 2n]);
  expect(await list()).toHaveLength(1);
  expect(await toldOf(workspaceId)).toHaveLength(2);
});

it("who is deleted while the log fails is deleted with all devices by a repetition", async () => {
  const { workspaceId, by, identify, list } = await workspaceWith("a", "b", "c");
  for (const device of ["a", "b"]) await identify(device, { $email: "ann@example.com" });
  dies();
  expect(await refused(api().deleteVisitor({ id: "vis_b" }, by))).not.toBe("answered");
  expect(await api().deleteVisitor({ id: "vis_b" }, by)).toMatchObject({ success: true });
  expect((await list()).map(({ id }) => id)).toEqual(["vis_c"]);
  expect((await toldOf(workspaceId)).at(-1)).toBe("ERASED vis_a a,b");
  expect(await refused(api().deleteVisitor({ id: "vis_b" }, by))).toEqual([Code.NotFound, undefined]);
});

it("what is said once does not change what the visitor had before it was one with another", async () => {
  const { identify } = await workspaceWith("a", "b");
  await identify("a", { $email: "ann@example.com", $firstName: "Ann", plan: "pro" });
  const said = { $email: "Ann@Example.com", $firstName: "Anna", plan: "free", city: "Bern" };
  const { visitor } = await identify("b", said, true);
  expect(visitor).toMatchObject({ id: "vis_a", firstName: "Ann" });
  expect(visitor?.attributes.map(({ key, value }) => `${key}=${value}`)).toEqual(["city=Bern", "plan=pro"]);
});

it("an event of an unknown device, and of another workspace, tells nobody", async () => {
  const { workspaceId, by } = await workspaceWith("a");
  await workspaceWith("x");
  await ground.append([touchOf({ id: "nameless", workspaceId })]);
  await ground.settle();
  const identify = (lbid: string) => refused(api().identifyVisitor({ lbid, visitor: { data: { a: 1 } } }, by));
  expect(await identify(lbidOf("nameless"))).toEqual([Code.FailedPrecondition, "lbid"]);
  expect(await identify(lbidOf("e-x"))).toEqual([Code.NotFound, "lbid"]);
  expect(await identify("/+==")).toEqual([Code.InvalidArgument, "lbid"]);
});

it("an event that is on its way is waited for", async () => {
  const { workspaceId, by } = await workspaceWith("a");
  const identified = api().identifyVisitor({ lbid: lbidOf("late"), visitor: { data: { a: 1 } } }, by);
  await ground.append([touchOf({ id: "late", workspaceId, deviceId: "z" })]);
  expect((await identified).visitor?.id).toBe("vis_z");
});

it("who somebody is, is shown only to keys that may see visitors", async () => {
  const { workspaceId, identify, by } = await workspaceWith("a");
  await identify("a", { $email: "ann@example.com" });
  const counting = ground.by({ workspace: workspaceId, keyClass: "production", scopes: ["analytics:read"] });
  const visitorFor = async (who: typeof by) =>
    (await ground.api.listEvents({ include: ["visitor"] }, who)).json?.events[0]?.visitor;
  expect(await visitorFor(by)).toMatchObject({ id: "vis_a", email: "ann@example.com" });
  expect(await visitorFor(counting)).toMatchObject({ id: "vis_a" });
  expect((await visitorFor(counting))?.email).toBeUndefined();
});

it("lists visitors of several devices by link, by search and as CSV", async () => {
  const { workspaceId, by, identify, list } = await workspaceWith("a", "b", "c");
  await ground.append([touchOf({ id: "second", workspaceId, deviceId: "b", codeId: "link_9" })]);
  await ground.settle();
  for (const device of ["a", "b"]) await identify(device, { $email: "ann@example.com", $lastName: "=Lee" });
  const counts = { id: "vis_a", visitCount: 3n, deviceCount: 2n, qrcodeCount: 2n };
  for (const asked of [{ linkId: "link_9" }, { search: "LEE" }, { search: "vis_b" }, { sortField: "qrcodeCount" }])
    expect((await list(asked))[0]).toMatchObject(counts);
  expect(await list({ linkId: "link_9" })).toHaveLength(1);
  expect(await list({ search: "%" })).toEqual([]);
  const { csv } = await ground.api.listVisitors({ responseFormat: ResponseFormat.CSV, search: "lee" }, by);
  expect(csv?.csvData.split("\r\n")[1]).toMatch(/^vis_a,ann@example\.com,,,'=Lee,3,2,2,/);
});

it("explains values of attributes like the rest", async () => {
  const { by, identify } = await workspaceWith("a");
  await identify("a", { seats: 4 });
  for (const ask of ["queryAttributeMetric", "queryAttributeDistribution", "queryAttributeValues"] as const) {
    expect((await api()[ask]({ key: "seats" }, by)).explanation).toBeUndefined();
    expect((await api()[ask]({ key: "seats", explain: true }, by)).explanation?.considered).toBe(1n);
  }
});

const attributesOf = async (id: string, by: Awaited<ReturnType<typeof workspaceWith>>["by"]) =>
  (await api().getVisitor({ id }, by)).visitor?.attributes.map(({ key, value }) => `${key}=${value}`);

it("an attribute that is deleted is gone alone, at once, by any id of the visitor", async () => {
  const { workspaceId, by, identify } = await workspaceWith("a", "b");
  await identify("a", { $email: "ann@example.com", plan: "pro", "a/b %": 1, seats: 3 });
  await identify("b", { $email: "ann@example.com" });
  const remove = (id: string, attributeKey: string) => api().deleteVisitorAttribute({ id, attributeKey }, by);
  expect(await remove("vis_b", "plan")).toMatchObject({ success: true });
  expect(await attributesOf("vis_a", by)).toEqual(["a/b %=1", "seats=3"]);
  await remove("vis_a", "a/b %");
  expect(await attributesOf("vis_a", by)).toEqual(["seats=3"]);
  expect((await api().getVisitor({ id: "vis_a" }, by)).visitor).toMatchObject({ email: "ann@example.com" });
  expect((await api().listAttributeKeys({}, by)).attributeKeys).toEqual(["$email", "seats"]);
  expect((await toldOf(workspaceId)).at(-1)).toMatch(/^UPDATED vis_a/);
});

it("an attribute that is not there, or is another's, or no attribute, is not deleted", async () => {
  const { workspaceId, by, identify } = await workspaceWith("a", "b");
  await identify("a", { $email: "ann@example.com", plan: "pro" });
  const remove = (id: string, attributeKey: string, who = by) =>
    refused(api().deleteVisitorAttribute({ id, attributeKey }, who));
  for (const key of ["Plan", "constructor", "__proto__", "toString"])
    expect([key, await remove("vis_a", key)]).toEqual([key, [Code.NotFound, undefined]]);
  for (const id of ["vis_b", "vis_nobody", ""])
    expect([id, await remove(id, "plan")]).toEqual([id, [Code.NotFound, undefined]]);
  for (const key of ["$email", "", "k".repeat(101)])
    expect([key, await remove("vis_a", key)]).toEqual([key, [Code.InvalidArgument, "attribute_key"]]);
  for (const who of [{ workspace: "elsewhere" }, { workspace: workspaceId, test: true }])
    expect(await remove("vis_a", "plan", ground.by(who))).toEqual([Code.NotFound, undefined]);
  expect(await attributesOf("vis_a", by)).toEqual(["plan=pro"]);
});

it("an attribute that is deleted while the log fails is told of by a repetition", async () => {
  const { by, identify } = await workspaceWith("a");
  await identify("a", { plan: "pro" });
  const remove = () => api().deleteVisitorAttribute({ id: "vis_a", attributeKey: "plan" }, by);
  dies();
  expect(await refused(remove())).not.toBe("answered");
  expect(await attributesOf("vis_a", by)).toEqual(["plan=pro"]);
  expect(await remove()).toMatchObject({ success: true });
  expect(await attributesOf("vis_a", by)).toEqual([]);
  expect(await refused(remove())).toEqual([Code.NotFound, undefined]);
});
