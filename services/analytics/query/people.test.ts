import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { CohortService } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import { ExportService } from "#gen/waymark/analytics/v1/exports_pb.ts";
import { Operator } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { type QueryRequestSchema, QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import { ScoringService } from "#gen/waymark/analytics/v1/scoring_pb.ts";
import { SegmentService } from "#gen/waymark/analytics/v1/segments_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
type Asked = MessageInitShape<typeof QueryRequestSchema>;
const ask = (request: Asked, by = ground.by()) => ground.client(QueryService).query(request, by);
const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
const number = (value: number) => ({ kind: { case: "numberValue" as const, value } });
const DAY = 86_400_000;

beforeAll(async () => {
  ground = await openAnalyticsGround();
  const touch = (id: string, deviceId: string, given: object = {}) => touchOf({ id, deviceId, ...given });
  await ground.append([
    touch("a1", "a", { at: NOW - 9 * DAY, conversationMessages: 6 }),
    touch("a2", "a", { at: NOW - 5 * DAY, codeId: "link_2" }),
    touch("a3", "a", { at: NOW - DAY }),
    touch("b1", "b", { place: { country: "DE" } }),
    touch("c1", "c", { place: { country: "DE" }, verdict: Verdict.BOT, verdictReason: "isbot" }),
  ]);
  await ground.settle();
  const identify = (event: string, data: object) =>
    ground
      .client(VisitorService)
      .identifyVisitor({ lbid: Buffer.from(event).toString("base64url"), visitor: { data: { ...data } } }, ground.by());
  await identify("a1", { $email: "ada@example.com", plan: "gold", seats: 4 });
  await identify("b1", { plan: "free", seats: 1e308 });
});
afterAll(() => ground?.close());

it("attributes group, and their numbers add up", async () => {
  const select = ["count", "sum", "min", "max", "avg"].map((fn) => ({ fn, field: "attributes.seats", as: fn }));
  const { rows } = await ask({ from: "visitors", groupBy: ["attributes.plan"], select });
  expect(rows).toEqual([
    { "attributes.plan": "free", count: 1, sum: 1e308, min: 1e308, max: 1e308, avg: 1e308 },
    { "attributes.plan": "gold", count: 1, sum: 4, min: 4, max: 4, avg: 4 },
  ]);
});

it("a number that JSON does not have is null", async () => {
  await ground.append([touchOf({ id: "b2", deviceId: "b", workspaceId: "acme", at: NOW - 2 * DAY })]);
  await ground.settle();
  const { rows } = await ask({ select: [{ fn: "sum", field: "attributes.seats", as: "all" }] });
  expect(rows).toEqual([{ all: null }]);
});

it("the lead score is that of the visitor, narrows, and is of the workspace's weights", async () => {
  const { score } = await ground.client(ScoringService).getVisitorScore({ visitorId: "vis_a" }, ground.by());
  expect(score).toBeGreaterThan(0);
  const query = { from: "visitors", fields: ["id", "leadScore"], orderBy: [{ by: "leadScore", desc: true }] };
  const { rows } = await ask(query);
  expect(rows[0]).toEqual({ id: "vis_a", leadScore: score });
  const where = [{ field: "score", op: Operator.AT_LEAST, value: number(score ?? 0) }];
  expect((await ask({ where })).totalCount).toBe(3n);
  const { segment } = await ground.client(SegmentService).createSegment({ name: "Hot", where }, ground.by());
  expect(segment?.size).toBe(1n);
});

it("explains the rows that its conditions leave, and who is in a segment", async () => {
  const where = [{ field: "country", value: text("DE") }];
  const { explanation } = await ask({ where, explain: true });
  expect(explanation).toMatchObject({ considered: 1n, filtered: { isbot: 1n }, definition: "docs/analytics.md#query" });
  const people = [{ field: "visitCount", op: Operator.AT_LEAST, value: number(3) }];
  const asked = await ask({ from: "visitors", where: people, explain: true });
  expect([asked.totalCount, asked.explanation?.considered]).toEqual([1n, 3n]);
  const api = ground.client(SegmentService);
  const { segment } = await api.createSegment({ name: "Often", where: people }, ground.by());
  const got = await api.getSegment({ segmentId: segment?.id ?? "", explain: true }, ground.by());
  expect([got.segment?.size, got.explanation?.considered]).toEqual([1n, 3n]);
});

it("who somebody is needs visitors:read, whichever question it narrows", async () => {
  const by = ground.by({ keyClass: "analytics", scopes: ["analytics:read", "analytics:write"] });
  const where = [{ anyOf: [{ field: "email", op: Operator.STARTS_WITH, value: text("a") }, { field: "country" }] }];
  const calls: Promise<unknown>[] = [
    ask({ where }, by),
    ask({ select: [{ fn: "countUnique", field: "attributes.plan" }] }, by),
    ask({ from: "visitors" }, by),
    ground.client(SegmentService).createSegment({ name: "A", where }, by),
    ground.client(CohortService).analyzeCohorts({ where }, by),
    ground.client(ExportService).createExport({ format: "CSV", where }, by),
  ];
  const codes = calls.map((call) =>
    call.then(
      () => "answered",
      (error: ConnectError) => Code[error.code],
    ),
  );
  expect(await Promise.all(codes)).toEqual(calls.map(() => "PermissionDenied"));
});
