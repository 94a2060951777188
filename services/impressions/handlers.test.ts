import { fromBinary, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import { AmbassadorService } from "#gen/waymark/impressions/v1/ambassadors_pb.ts";
import {
  ImpressionSchema,
  ImpressionService,
  RecordImpressionsRequestSchema,
} from "#gen/waymark/impressions/v1/impressions_pb.ts";
import { PosterSchema, PosterService } from "#gen/waymark/impressions/v1/posters_pb.ts";
import { ProgramService } from "#gen/waymark/impressions/v1/programs_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { directoryStandIn, type Targets } from "../../test/support/directory-stand-in.ts";
import { intakeStandIn } from "../../test/support/intake-stand-in.ts";
import { openServiceGround, type ServiceGround } from "../../test/support/service-ground.ts";
import { impressions } from "./service.ts";

const NOW = Date.UTC(2024, 0, 20);
let ground: ServiceGround;
let targets: Targets;

beforeEach(async () => {
  targets = new Map();
  ground = await openServiceGround([impressions, intakeStandIn, directoryStandIn(targets)], NOW);
  await addProgram("123abc");
});
afterEach(() => ground.close());

/** A program, its ambassador and two posters. */
async function addProgram(name: string, who: Partial<Principal> = {}) {
  const by = ground.by(who);
  const landingUrl = "https://example.com/join";
  await ground.client(ProgramService).createProgram({ id: `prog_${name}`, name: "Campus", landingUrl }, by);
  const person = { firstName: "John", lastName: "Doe", email: "john@example.com", programId: `prog_${name}` };
  await ground.client(AmbassadorService).createAmbassador({ id: `user_${name}`, ...person }, by);
  for (const id of [`poster_${name}`, `poster_${name}_b`]) {
    const poster = { id, programId: `prog_${name}`, studentId: `user_${name}`, location: "Library" };
    await ground.client(PosterService).createPoster(poster, by);
    ground.clock.now += 1;
  }
}

async function scan(items: JsonValue[], who: Partial<Principal> = {}) {
  const request = fromJson(RecordImpressionsRequestSchema, { impressions: items });
  const reply = await ground.client(ImpressionService).recordImpressions(request, ground.by(who));
  await ground.settle();
  return reply;
}

type Query = { programId?: string; posterId?: string; limit?: number; offset?: number; order?: string };

async function list(query: Query = {}, who: Partial<Principal> = {}) {
  const reply = await ground.client(ImpressionService).listImpressions(query, ground.by(who));
  return { ids: reply.impressions.map(({ id }) => id), total: Number(reply.total) };
}

const documented = {
  id: "imp_123abc",
  poster_id: "poster_123abc",
  scanned_at: "2024-01-15T10:30:00Z",
  user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X)",
  ip_address: "192.168.1.1",
  metadata: { device_type: "mobile", location: "campus_center" },
};

it("gives the documented impression back, in the list and by id", async () => {
  await scan([documented]);
  const object = { ...documented, program_id: "prog_123abc", student_id: "user_123abc" };
  const reply = await ground.client(ImpressionService).listImpressions({ programId: "prog_123abc" }, ground.by());
  expect(reply.impressions.map((one) => toJson(ImpressionSchema, one, { useProtoFieldName: true }))).toEqual([object]);
  const { impression } = await ground.client(ImpressionService).getImpression({ impressionId: object.id }, ground.by());
  expect(impression).toStrictEqual(reply.impressions[0]);
});

it("lists oldest first with ties by id, and newest first on request", async () => {
  const at = (id: string, minute: number) => ({ ...documented, id, scanned_at: `2024-01-15T10:${minute}:00Z` });
  await scan([at("c", 30), at("b", 30), at("a", 45), at("d", 10)]);
  expect((await list()).ids).toStrictEqual(["d", "b", "c", "a"]);
  expect((await list({ order: "desc" })).ids).toStrictEqual(["a", "c", "b", "d"]);
  expect(await list({ limit: 2, offset: 1 })).toStrictEqual({ ids: ["b", "c"], total: 4 });
});

it("filters by program and poster, with totals of the same", async () => {
  await addProgram("two");
  await scan([
    { id: "i1", poster_id: "poster_123abc" },
    { id: "i2", poster_id: "poster_123abc_b" },
    { id: "i3", poster_id: "poster_two" },
  ]);
  expect((await list()).total).toBe(3);
  expect(await list({ programId: "prog_123abc" })).toStrictEqual({ ids: ["i1", "i2"], total: 2 });
  expect(await list({ posterId: "poster_two" })).toStrictEqual({ ids: ["i3"], total: 1 });
  expect(await list({ programId: "prog_two", posterId: "poster_two" })).toStrictEqual({ ids: ["i3"], total: 1 });
});

it.each([
  ["an unknown program", { programId: "x" }],
  ["an unknown poster", { posterId: "x" }],
  ["a poster of another program", { programId: "prog_two", posterId: "poster_123abc" }],
])("lists nothing of %s", async (_case, query) => {
  await addProgram("two");
  await scan([documented]);
  expect(await list(query)).toStrictEqual({ ids: [], total: 0 });
});

it.each([
  [{ limit: 0 }, "limit must be greater than or equal to 1"],
  [{ offset: -1 }, "offset must be greater than or equal to 0"],
  [{ order: "up" }, "order must be in list [asc, desc]"],
])("refuses %o", async (query, rawMessage) => {
  await expect(list(query)).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage });
});

it("gives at most 100 at once", async () => {
  await scan(Array.from({ length: 120 }, () => ({ poster_id: "poster_123abc" })));
  const { ids, total } = await list({ limit: 1000 });
  expect([ids.length, total]).toStrictEqual([100, 120]);
  expect((await list()).ids).toHaveLength(50);
});

it("does not show scans by programs", async () => {
  await scan([{ ...documented, user_agent: "Googlebot" }]);
  expect(await list()).toStrictEqual({ ids: [], total: 0 });
});

it("overlays the poster's metadata by the scan's", async () => {
  const poster = { id: "poster_m", programId: "prog_123abc", studentId: "user_123abc", metadata: { a: 1, b: 1 } };
  await ground.client(PosterService).createPoster(poster, ground.by());
  await scan([{ id: "i1", poster_id: "poster_m", metadata: { b: 2 } }]);
  const { impression } = await ground.client(ImpressionService).getImpression({ impressionId: "i1" }, ground.by());
  expect(impression?.metadata).toStrictEqual({ a: 1, b: 2 });
  expect(impression?.userAgent).toBeUndefined();
});

it("rejects wrong items alone and takes the others", async () => {
  const faults = [{ index: 0, message: "scanned_at must be an ISO 8601 time with zone" }];
  const items = [{}, { posterId: "poster_123abc" }, { posterId: "x" }, { posterId: "poster_123abc", id: "bad" }];
  const request = { impressions: items, faults };
  const reply = await ground.client(ImpressionService).recordImpressions(request, ground.by());
  expect(reply.accepted).toBe(1);
  expect(reply.rejected).toMatchObject([
    { index: 0, code: "INVALID_FIELD", message: faults[0]?.message },
    { index: 2, code: "POSTER_NOT_FOUND", message: "poster_id must name an existing poster" },
    { index: 3, code: "INVALID_FIELD", message: "id is bad" },
  ]);
});

it("books rejected items for the ledger by reason", async () => {
  await scan([{ poster_id: "x" }, { poster_id: "y" }, {}, { poster_id: "poster_123abc" }]);
  const booked = [];
  for await (const chunk of ground.log.read({ after: 0, subjects: ["touches.refused"] }))
    booked.push(...chunk.map(({ payload }) => fromBinary(TouchesRefusedSchema, payload)));
  expect(booked).toMatchObject([{ workspaceId: "acme", rejected: { POSTER_NOT_FOUND: 2, INVALID_FIELD: 1 } }]);
});

it("counts a repeated batch once", async () => {
  await scan([documented]);
  await scan([documented]);
  expect(await list()).toStrictEqual({ ids: ["imp_123abc"], total: 1 });
});

it("makes a poster's code through the directory", async () => {
  const { poster } = await ground.client(PosterService).getPoster({ posterId: "poster_123abc" }, ground.by());
  expect(targets.get("acme/poster_123abc")).toMatchObject({
    parentId: "prog_123abc",
    ownerId: "user_123abc",
    destination: "https://example.com/join",
    touchParameter: "impression_id",
  });
  expect(poster && toJson(PosterSchema, poster, { useProtoFieldName: true })).toMatchObject({
    id: "poster_123abc",
    program_id: "prog_123abc",
    student_id: "user_123abc",
    qr_code_url: "https://qr.example/qr/s1.png",
    scan_url: "https://qr.example/s/s1",
    location: "Library",
  });
});

it("leads printed posters to a new landing page", async () => {
  const request = { programId: "prog_123abc", landingUrl: "https://example.com/new" };
  const { program } = await ground.client(ProgramService).updateProgram(request, ground.by());
  expect(program).toMatchObject({ landingUrl: "https://example.com/new", name: "Campus" });
  expect([...targets.values()].map(({ destination }) => destination)).toStrictEqual([
    "https://example.com/new",
    "https://example.com/new",
  ]);
});

it("leads a poster to the present landing page when its code was left by a call that failed", async () => {
  const code = { ...targets.get("acme/poster_123abc"), codeId: "poster_late", destination: "https://example.com/old" };
  targets.set("acme/poster_late", code as never);
  const poster = { id: "poster_late", programId: "prog_123abc", studentId: "user_123abc" };
  await ground.client(PosterService).createPoster(poster, ground.by());
  expect(targets.get("acme/poster_late")?.destination).toBe("https://example.com/join");
});

it.each([
  ["an unknown program", { programId: "x" }, Code.InvalidArgument, "program_id must name an existing program"],
  ["an unknown user", { studentId: "x" }, Code.InvalidArgument, "student_id must name an existing user"],
  [
    "a user of another program",
    { studentId: "user_two" },
    Code.InvalidArgument,
    "student_id must name an ambassador of the program prog_123abc",
  ],
  ["a taken id", { id: "poster_123abc" }, Code.AlreadyExists, "the id poster_123abc is taken; choose another"],
  ["the id of a code", { id: "code_taken" }, Code.AlreadyExists, "the id code_taken is taken; choose another"],
])("does not create a poster with %s", async (_case, given, code, rawMessage) => {
  await addProgram("two");
  const poster = { programId: "prog_123abc", studentId: "user_123abc", ...given };
  await expect(ground.client(PosterService).createPoster(poster, ground.by())).rejects.toMatchObject({
    code,
    rawMessage,
  });
});

it.each([
  ["another workspace", { workspace: "other" }],
  ["a development key", { test: true }],
])("shows nothing to %s", async (_case, who) => {
  await scan([documented]);
  expect(await list({}, who)).toStrictEqual({ ids: [], total: 0 });
  expect(await list({ posterId: "poster_123abc" }, who)).toStrictEqual({ ids: [], total: 0 });
  expect(await scan([{ poster_id: "poster_123abc" }], who)).toMatchObject({ accepted: 0 });
  const by = ground.by(who);
  const rawMessage = "impression imp_123abc does not exist";
  const asked = ground.client(ImpressionService).getImpression({ impressionId: "imp_123abc" }, by);
  await expect(asked).rejects.toMatchObject({ code: Code.NotFound, rawMessage });
  const programs = await ground.client(ProgramService).listPrograms({}, by);
  expect(programs).toMatchObject({ programs: [], total: 0n });
  const change = ground.client(ProgramService).updateProgram({ programId: "prog_123abc", name: "x" }, by);
  await expect(change).rejects.toMatchObject({ code: Code.NotFound });
});
