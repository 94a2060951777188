import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import { TouchpointService } from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import { auditStandIn } from "../../test/support/audit-stand-in.ts";
import { intakeStandIn } from "../../test/support/intake-stand-in.ts";
import { openServiceGround, type ServiceGround } from "../../test/support/service-ground.ts";
import { touchpoints } from "./service.ts";

const NOW = Date.UTC(2024, 0, 10);
let ground: ServiceGround;
let trail: string[];

beforeEach(async () => {
  trail = [];
  ground = await openServiceGround([touchpoints, intakeStandIn, auditStandIn(trail)], NOW);
  const client = ground.client(TouchpointService);
  await client.createExperience({ id: "exp", name: "Cup", value: "cup" }, ground.by());
  await client.createTouchpoint({ id: "tp-1", experienceId: "exp", name: "Entry", value: "entry" }, ground.by());
});
afterEach(() => ground.close());

async function refused() {
  const found = [];
  for await (const chunk of ground.log.read({ after: 0, subjects: ["touches.refused"] }))
    found.push(...chunk.map(({ payload }) => fromBinary(TouchesRefusedSchema, payload)));
  return found;
}

it("tells the audit trail what was created, and nothing of what was refused", async () => {
  const again = ground.client(TouchpointService).createExperience({ id: "exp", name: "x", value: "x" }, ground.by());
  await expect(again).rejects.toThrow("The id exp is taken");
  expect(trail).toStrictEqual(["experiences.create exp", "touchpoints.create tp-1"]);
});

it("books rejected scans for the ledger by reason, apart from those that intake rejects", async () => {
  const good = { touchpointId: "tp-1", userId: "user-1" };
  const scans = [good, { ...good, touchpointId: "x" }, { ...good, touchpointId: "y" }, { ...good, userId: "" }];
  const request = { scans: [...scans, { ...good, id: "bad" }] };
  const reply = await ground.client(TouchpointService).recordTouchpointScans(request, ground.by());
  expect([reply.accepted, reply.rejected.length]).toStrictEqual([1, 4]);
  const rejected = { TOUCHPOINT_NOT_FOUND: 2, INVALID_FIELD: 1 };
  const booked = { workspaceId: "acme", arrivedAt: timestampFromMs(NOW), rejected, shed: 0, duplicate: 0, test: false };
  expect(await refused()).toMatchObject([booked]);
});

it("books nothing when nothing is rejected", async () => {
  const scans = [{ touchpointId: "tp-1", userId: "user-1" }];
  await ground.client(TouchpointService).recordTouchpointScans({ scans }, ground.by());
  expect(await refused()).toStrictEqual([]);
});
