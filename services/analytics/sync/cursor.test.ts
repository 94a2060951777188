import { afterAll, beforeAll, expect, it } from "vitest";
import { SyncKind, SyncOp, SyncService } from "#gen/waymark/analytics/v1/sync_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const sync = (request: object) => ground.client(SyncService).sync(request, ground.by());

it("a cursor that is none is refused by its name", async () => {
  const error = await sync({ cursor: "rubbish" }).catch((cause: unknown) => cause);
  expect(fieldOf(error as never)).toBe("cursor");
});

it("tells nothing of an event that other events decide", async () => {
  await ground.append([touchOf({ id: "later", deviceId: "d", at: NOW })]);
  await ground.settle();
  const first = await sync({});
  expect(first.changes).toMatchObject([
    { kind: SyncKind.EVENT, op: SyncOp.UPSERT, id: "later", data: { case: "event", value: { visitorId: "vis_d" } } },
  ]);
  await ground.append([touchOf({ id: "earlier", deviceId: "d", at: NOW - 1_000 })]);
  await ground.settle();
  const second = await sync({ cursor: first.cursor });
  expect(second.changes.map(({ id }) => id)).toEqual(["earlier"]);
  expect(
    [...first.changes, ...second.changes].map(({ data }) => data.case === "event" && data.value.visitType),
  ).toEqual([undefined, undefined]);
});
