import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Operator } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { SegmentService } from "#gen/waymark/analytics/v1/segments_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

const DAY = 86_400_000;
let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
  const touch = (n: number, deviceId: string, given: object) => touchOf({ id: `g${n}`, deviceId, ...given });
  await ground.append([
    touch(1, "d1", { at: NOW - DAY, place: { country: "DE" } }),
    touch(2, "d1", { at: NOW - 2 * DAY, codeId: "link_2", place: { country: "FR" } }),
    touch(3, "d1", { at: NOW - 20 * DAY, place: { country: "FR" } }),
    touch(4, "d2", { at: NOW - 3 * DAY, place: { country: "DE" } }),
    touch(5, "d3", { at: NOW - 30 * DAY, codeId: "link_2", place: { country: "US" } }),
    touch(6, "", { at: NOW - DAY }),
  ]);
  await ground.settle();
});
afterAll(() => ground.close());

const api = () => ground.client(SegmentService);
const number = (value: number) => ({ kind: { case: "numberValue" as const, value } });
const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });

async function idsIn(segmentId: string, pageSize = 50): Promise<string[]> {
  const ids: string[] = [];
  for (let pageToken = ""; ; ) {
    const page = await api().listSegmentVisitors({ segmentId, pageSize, pageToken }, ground.by());
    ids.push(...page.visitors.map(({ id }) => id));
    if (!page.hasMore) return ids;
    pageToken = page.nextPageToken;
  }
}

it("groups visitors by place, by what they did and never did, and stays live", async () => {
  const made = async (name: string, request: object) =>
    (await api().createSegment({ name, ...request }, ground.by())).segment;
  const german = await made("German", { where: [{ field: "country", value: text("DE") }] });
  expect(german?.size).toBe(2n);
  expect(await idsIn(german?.id ?? "", 1)).toEqual(["vis_d1", "vis_d2"]);
  const loyal = await made("Loyal", { where: [{ field: "visitCount", op: Operator.AT_LEAST, value: number(2) }] });
  expect(await idsIn(loyal?.id ?? "")).toEqual(["vis_d1"]);
  const recent = await made("Recent on two", { behaviours: [{ linkId: "link_2", withinDays: 7 }] });
  expect(await idsIn(recent?.id ?? "")).toEqual(["vis_d1"]);
  const never = await made("Never on one", { behaviours: [{ linkId: "link_1", never: true }] });
  expect(await idsIn(never?.id ?? "")).toEqual(["vis_d3"]);
  const twice = await made("Twice on one", { behaviours: [{ linkId: "link_1", atLeast: 2 }] });
  expect(await idsIn(twice?.id ?? "")).toEqual(["vis_d1"]);
  const pro = await made("Pro", { where: [{ field: "attributes.plan", value: text("pro") }] });
  expect(pro?.size).toBe(0n);
  await ground.client(VisitorService).updateVisitor({ id: "vis_d2", visitor: { data: { plan: "pro" } } }, ground.by());
  expect((await api().getSegment({ segmentId: pro?.id ?? "" }, ground.by())).segment?.size).toBe(1n);
  await ground.append([touchOf({ id: "g9", deviceId: "d3", at: NOW, place: { country: "DE" } })]);
  await ground.settle();
  expect((await api().getSegment({ segmentId: german?.id ?? "", explain: true }, ground.by())).segment?.size).toBe(3n);
  const { segments, totalCount } = await api().listSegments({ pageSize: 4 }, ground.by());
  expect([segments.length, totalCount]).toEqual([4, 6n]);
});

it("is changed, named once, seen by its workspace and world alone, and deleted", async () => {
  const where = [{ field: "country", value: text("US") }];
  const { segment } = await api().createSegment({ name: "Americans", where }, ground.by());
  const refused = (call: Promise<unknown>) =>
    call.then(
      () => "answered",
      (error: ConnectError) => [error.code, fieldOf(error)],
    );
  expect(await refused(api().createSegment({ name: " AMERICANS ", where }, ground.by()))).toEqual([
    Code.AlreadyExists,
    "name",
  ]);
  expect(await refused(api().createSegment({ name: "None" }, ground.by()))).toEqual([Code.InvalidArgument, "where"]);
  expect(await refused(api().createSegment({ name: "Bad", where: [{ field: "hair" }] }, ground.by()))).toEqual([
    Code.InvalidArgument,
    "where[0].field",
  ]);
  const id = segment?.id ?? "";
  const changed = await api().updateSegment(
    { segmentId: id, name: "French", where: [{ field: "country", value: text("FR") }] },
    ground.by(),
  );
  expect(changed.segment).toMatchObject({ name: "French", size: 0n });
  expect((await api().createSegment({ name: "Americans", where }, ground.by())).segment?.name).toBe("Americans");
  for (const by of [ground.by({ workspace: "other" }), ground.by({ test: true })])
    expect(await refused(api().getSegment({ segmentId: id }, by))).toEqual([Code.NotFound, undefined]);
  await api().deleteSegment({ segmentId: id }, ground.by());
  expect(await refused(api().getSegment({ segmentId: id }, ground.by()))).toEqual([Code.NotFound, undefined]);
});
