import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  GetTouchpointMetricsRequestSchema,
  GetTouchpointMetricsResponseSchema,
} from "#gen/waymark/touchpoints/v1/metrics_pb.ts";
import { RecordTouchpointScansRequestSchema, TouchpointService } from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { intakeStandIn } from "../../test/support/intake-stand-in.ts";
import { openServiceGround, type ServiceGround } from "../../test/support/service-ground.ts";
import { touchpoints } from "./service.ts";

const NOW = Date.UTC(2024, 0, 10);
let ground: ServiceGround;

beforeEach(async () => {
  ground = await openServiceGround([touchpoints, intakeStandIn], NOW);
  await call("createExperience", { id: "47Gop5", name: "Cup", value: "experience-2024" });
  await call("createTouchpoint", { id: "tp-1", experienceId: "47Gop5", name: "Entry Scan", value: "entry_scan" });
  ground.clock.now += 1;
  await call("createTouchpoint", { id: "tp-2", experienceId: "47Gop5", name: "Exit Scan", value: "exit_scan" });
});
afterEach(() => ground.close());

type Methods = "createExperience" | "createTouchpoint" | "listExperiences" | "listTouchpoints";

async function call(method: Methods, request: object, who: Partial<Principal> = {}) {
  return ground.client(TouchpointService)[method](request as never, ground.by(who));
}

async function scan(scans: JsonValue[], who: Partial<Principal> = {}) {
  const request = fromJson(RecordTouchpointScansRequestSchema, { scans });
  const reply = await ground.client(TouchpointService).recordTouchpointScans(request, ground.by(who));
  await ground.settle();
  return reply;
}

/** The `data` of the documented reply: the oneof's member in place of the oneof, in JSON names. */
async function metrics(query: Record<string, JsonValue>, who: Partial<Principal> = {}): Promise<JsonValue> {
  const request = fromJson(GetTouchpointMetricsRequestSchema, query);
  const reply = await ground.client(TouchpointService).getTouchpointMetrics(request, ground.by(who));
  const json = toJson(GetTouchpointMetricsResponseSchema, reply, { alwaysEmitImplicit: true });
  const shape = Object.values(json as Record<string, JsonValue>)[0] as JsonValue;
  return JSON.parse(JSON.stringify(shape, (name, value) => (/Visits$/.test(name) ? Number(value) : value)));
}

const documented = [
  { id: "s1", touchpointId: "tp-1", userId: "user-1", timestampUTC: "2024-01-01T10:00:00Z" },
  { id: "s2", touchpointId: "tp-1", userId: "user-2", timestampUTC: "2024-01-02T10:00:00Z" },
  { id: "s3", touchpointId: "tp-1", userId: "user-1", timestampUTC: "2024-01-03T10:00:00Z" },
  { id: "s4", touchpointId: "tp-2", userId: "user-1", timestampUTC: "2024-01-04T10:00:00Z" },
];

it("gives the documented EXPERIENCE metrics", async () => {
  await scan(documented);
  expect(await metrics({ metricsType: "EXPERIENCE", experienceId: "47Gop5", offset: 1, pageSize: 1 })).toStrictEqual({
    totalTouchpoints: 2,
    touchpoints: [
      { id: "tp-1", name: "Entry Scan", value: "entry_scan", totalVisits: 3, uniqueVisits: 2 },
      { id: "tp-2", name: "Exit Scan", value: "exit_scan", totalVisits: 1, uniqueVisits: 1 },
    ],
  });
});

it("gives the documented USER metrics", async () => {
  await scan(documented);
  const timestampsUTC = ["2024-01-01T10:00:00Z", "2024-01-03T10:00:00Z"];
  expect(await metrics({ metricsType: "USER", experienceId: "47Gop5", userId: "user-1" })).toStrictEqual({
    totalTouchpoints: 2,
    touchpoints: [
      { id: "tp-1", name: "Entry Scan", value: "entry_scan", totalVisits: 2, timestampsUTC },
      { id: "tp-2", name: "Exit Scan", value: "exit_scan", totalVisits: 1, timestampsUTC: ["2024-01-04T10:00:00Z"] },
    ],
  });
});

it("gives the documented TOUCHPOINT metrics of total visits", async () => {
  await scan(documented);
  expect(await metrics({ metricsType: "TOUCHPOINT", touchpointId: "tp-1" })).toStrictEqual({
    touchpoints: {
      id: "tp-1",
      name: "Entry Scan",
      value: "entry_scan",
      totalVisits: 3,
      totalVisitsDetails: {
        items: [
          { userId: "user-1", timestampUTC: "2024-01-01T10:00:00Z" },
          { userId: "user-2", timestampUTC: "2024-01-02T10:00:00Z" },
          { userId: "user-1", timestampUTC: "2024-01-03T10:00:00Z" },
        ],
        pagination: { offset: 0, pageSize: 50 },
      },
    },
  });
});

it("gives the documented TOUCHPOINT metrics of unique visits", async () => {
  await scan(documented);
  expect(await metrics({ metricsType: "TOUCHPOINT", touchpointId: "tp-1", visitsType: "UNIQUE" })).toStrictEqual({
    touchpoints: {
      id: "tp-1",
      name: "Entry Scan",
      value: "entry_scan",
      uniqueVisits: 2,
      uniqueVisitsDetails: {
        items: [
          { userId: "user-1", timestampUTC: "2024-01-01T10:00:00Z" },
          { userId: "user-2", timestampUTC: "2024-01-02T10:00:00Z" },
        ],
        pagination: { offset: 0, pageSize: 50 },
      },
    },
  });
});

it("pages visit details and repeats the page", async () => {
  await scan(documented);
  expect(await metrics({ metricsType: "TOUCHPOINT", touchpointId: "tp-1", pageSize: 1, offset: 1 })).toMatchObject({
    touchpoints: {
      totalVisits: 3,
      totalVisitsDetails: {
        items: [{ userId: "user-2", timestampUTC: "2024-01-02T10:00:00Z" }],
        pagination: { offset: 1, pageSize: 1 },
      },
    },
  });
});

it.each([
  ["an unknown experience", { metricsType: "EXPERIENCE", experienceId: "x" }, "Experience not found"],
  ["an unknown experience of a user", { metricsType: "USER", experienceId: "x", userId: "y" }, "Experience not found"],
  ["an unknown user", { metricsType: "USER", experienceId: "47Gop5", userId: "x" }, "User not found"],
  ["an unknown touchpoint", { metricsType: "TOUCHPOINT", touchpointId: "x" }, "Touchpoint not found"],
  [
    "a touchpoint in an unknown experience",
    { metricsType: "TOUCHPOINT", touchpointId: "tp-1", experienceId: "x" },
    "Experience not found",
  ],
  [
    "a touchpoint of another experience",
    { metricsType: "TOUCHPOINT", touchpointId: "tp-1", experienceId: "other" },
    "Touchpoint not found",
  ],
])("does not find %s", async (_case, query, rawMessage) => {
  await scan(documented);
  await call("createExperience", { id: "other", name: "Other", value: "other" });
  await expect(metrics(query)).rejects.toMatchObject({ code: Code.NotFound, rawMessage });
});

it("gives a known user without visits in this experience an empty list", async () => {
  await scan(documented);
  await call("createExperience", { id: "other", name: "Other", value: "other" });
  const query = { metricsType: "USER", experienceId: "other", userId: "user-2" };
  expect(await metrics(query)).toStrictEqual({ totalTouchpoints: 0, touchpoints: [] });
});

it("refuses in the documented sentence", async () => {
  const rawMessage = "Missing required parameter: metricsType";
  await expect(metrics({})).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage });
});

it("rejects wrong scans alone and takes the others", async () => {
  const reply = await scan([
    { touchpointId: "tp-1", userId: "user-1" },
    { touchpointId: "tp-9", userId: "user-1" },
    { touchpointId: "tp-1" },
    { id: "bad", touchpointId: "tp-1", userId: "user-1" },
    { touchpointId: "tp-1", userId: "user-2" },
  ]);
  expect(reply.accepted).toBe(2);
  expect(reply.rejected).toMatchObject([
    { index: 1, code: "TOUCHPOINT_NOT_FOUND", message: "touchpointId: Touchpoint not found" },
    { index: 2, code: "INVALID_FIELD", message: "userId is required" },
    { index: 3, code: "INVALID_FIELD", message: "id is bad" },
  ]);
  expect(await metrics({ metricsType: "TOUCHPOINT", touchpointId: "tp-1" })).toMatchObject({
    touchpoints: { totalVisits: 2 },
  });
});

it("says of a scan that could not be read what was wrong with it", async () => {
  const request = {
    scans: [{}, { touchpointId: "tp-1", userId: "user-1" }],
    faults: [{ index: 0, field: "timestampUTC", message: "timestampUTC must be an ISO 8601 time with zone" }],
  };
  const reply = await ground.client(TouchpointService).recordTouchpointScans(request, ground.by());
  expect(reply).toMatchObject({ accepted: 1, rejected: [{ index: 0, message: request.faults[0]?.message }] });
});

it.each([
  ["an empty list", 0],
  ["more than 1000 scans", 1001],
])("refuses %s as a whole", async (_case, length) => {
  const scans = Array.from({ length }, () => ({ touchpointId: "tp-1", userId: "user-1" }));
  await expect(scan(scans)).rejects.toMatchObject({ code: Code.InvalidArgument });
});

it("counts a repeated batch once", async () => {
  await scan(documented);
  await scan(documented);
  expect(await metrics({ metricsType: "EXPERIENCE", experienceId: "47Gop5" })).toMatchObject({
    touchpoints: [{ totalVisits: 3, uniqueVisits: 2 }, { totalVisits: 1 }],
  });
});

it.each([
  ["id", "createExperience", { id: "47Gop5", name: "Cup", value: "other" }, "The id 47Gop5 is taken; choose another"],
  ["value", "createExperience", { name: "Cup", value: "experience-2024" }, "experience-2024 is taken"],
  ["id", "createTouchpoint", { id: "tp-1", experienceId: "47Gop5", name: "x", value: "x" }, "The id tp-1 is taken"],
  ["value", "createTouchpoint", { experienceId: "47Gop5", name: "x", value: "entry_scan" }, "entry_scan is taken"],
] as const)("refuses a taken %s in %s", async (_field, method, request, sentence) => {
  const refusal = { code: Code.AlreadyExists, rawMessage: expect.stringContaining(sentence) };
  await expect(call(method, request)).rejects.toMatchObject(refusal);
});

it("takes a value again in another experience", async () => {
  await call("createExperience", { id: "other", name: "Other", value: "other" });
  const request = { experienceId: "other", name: "Entry", value: "entry_scan" };
  expect(await call("createTouchpoint", request)).toMatchObject({ touchpoint: { value: "entry_scan" } });
});

it("does not create a touchpoint of an unknown experience", async () => {
  const refusal = { code: Code.NotFound, rawMessage: "Experience not found" };
  await expect(call("createTouchpoint", { experienceId: "x", name: "x", value: "x" })).rejects.toMatchObject(refusal);
});

it("names the field that is missing", async () => {
  await expect(call("createExperience", { value: "x" })).rejects.toMatchObject({ rawMessage: "name is required" });
});

it("lists in order of creation, by page", async () => {
  const reply = await call("listTouchpoints", { experienceId: "47Gop5", pageSize: 1, offset: 1 });
  const pagination = { offset: 1, pageSize: 1 };
  expect(reply).toMatchObject({ totalTouchpoints: 2n, touchpoints: [{ id: "tp-2" }], pagination });
  expect(await call("listExperiences", {})).toMatchObject({ totalExperiences: 1n, experiences: [{ id: "47Gop5" }] });
});

it.each([
  ["another workspace", { workspace: "other" }],
  ["a development key", { test: true }],
])("shows nothing to %s", async (_case, who) => {
  await scan(documented);
  await expect(metrics({ metricsType: "EXPERIENCE", experienceId: "47Gop5" }, who)).rejects.toThrow(
    "Experience not found",
  );
  await expect(metrics({ metricsType: "TOUCHPOINT", touchpointId: "tp-1" }, who)).rejects.toThrow(
    "Touchpoint not found",
  );
  expect(await call("listTouchpoints", {}, who)).toMatchObject({ totalTouchpoints: 0n, touchpoints: [] });
  expect(await scan(documented.slice(0, 1), who)).toMatchObject({ accepted: 0 });
  await call("createExperience", { id: "own", name: "Own", value: "experience-2024" }, who);
  const query = { metricsType: "USER", experienceId: "own", userId: "user-1" };
  await expect(metrics(query, who)).rejects.toThrow("User not found");
});
