import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Operator } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { QueryInterval, type QueryRequestSchema, QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import * as plain from "../test-answers.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { history, touchOf, write } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

type Asked = MessageInitShape<typeof QueryRequestSchema>;
const ask = (request: Asked, by = ground.by()) => ground.client(QueryService).query(request, by);
const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });

let run = 0;

const KEYS: Record<string, (event: plain.Event) => string | null> = {
  country: ({ touch }) => touch.place?.country || null,
  city: ({ touch }) => touch.place?.city || null,
  linkId: ({ touch }) => touch.codeId,
  browserName: ({ touch }) => touch.device?.browser || null,
  rule: ({ touch }) => touch.rule || null,
};

const timeOf = ({ touch }: plain.Event) => (touch.scannedAt === undefined ? 0 : timestampMs(touch.scannedAt));

it("groups and adds up as plain code does, over random histories and questions", async () => {
  const questions = fc.record({
    groupBy: fc.subarray(Object.keys(KEYS), { maxLength: 2 }),
    link: fc.constantFrom(undefined, "link_1", "link_2"),
    steps: fc.nat().chain(() => {
      run += 1;
      return history([`query${run}`]);
    }),
  });
  const property = fc.asyncProperty(questions, async ({ groupBy, link, steps }) => {
    const workspace = steps[0]?.touches[0]?.workspaceId ?? "";
    const all = plain.seen(await write(ground, steps), { workspace, test: false });
    const events = link === undefined ? all : all.filter(({ touch }) => touch.codeId === link);
    const select = [
      { fn: "count" },
      { fn: "countUnique", field: "visitorId", as: "people" },
      { fn: "max", field: "asn", as: "most" },
      { fn: "min", field: "scannedAt", as: "first" },
    ];
    const where = link === undefined ? [] : [{ field: "linkId", value: text(link) }];
    const { rows, totals, totalCount } = await ask({ groupBy, select, where, limit: 1000 }, ground.by({ workspace }));
    const numbers = (some: readonly plain.Event[]) => ({
      count: some.length,
      people: new Set(some.flatMap(({ touch }) => touch.deviceId || [])).size,
      most: some.reduce<number | null>((most, { touch }) => Math.max(most ?? 0, touch.place?.asn ?? 0) || most, null),
      first: some.length === 0 ? null : new Date(Math.min(...some.map(timeOf))).toISOString(),
    });
    const groups = Map.groupBy(events, (event) => JSON.stringify(groupBy.map((name) => KEYS[name]?.(event) ?? null)));
    if (groupBy.length === 0) groups.set("[]", [...events]);
    const wanted = [...groups].map(([key, some]) => {
      const members = JSON.parse(key) as (string | null)[];
      return JSON.stringify({
        ...Object.fromEntries(groupBy.map((name, n) => [name, members[n] ?? null])),
        ...numbers(some),
      });
    });
    expect(rows.map((row) => JSON.stringify(row)).sort()).toEqual(wanted.sort());
    expect(totals).toEqual(numbers(events));
    expect(totalCount).toBe(BigInt(events.length));
  });
  await fc.assert(property, { numRuns: 8, endOnFailure: true, interruptAfterTimeLimit: 20_000 });
});

describe("a small workspace", () => {
  const workspace = "small";
  const by = () => ground.by({ workspace });
  beforeAll(async () => {
    const touch = (n: number, given: object) =>
      touchOf({ id: `s${n}`, workspaceId: workspace, at: NOW - n * 3_600_000, ...given });
    await ground.append([
      touch(1, { deviceId: "d1", place: { country: "DE" } }),
      touch(2, { deviceId: "d1", codeId: "link_2", place: { country: "DE" }, conversationMessages: 4 }),
      touch(30, { deviceId: "d2", place: { country: "FR" }, conversationMessages: 2 }),
      touch(60, { deviceId: "" }),
    ]);
    await ground.settle();
  });

  it("by time, in a zone", async () => {
    const request = { interval: QueryInterval.DAY, timezone: "Europe/Berlin", select: [{ fn: "count" }] };
    const { rows } = await ask(request, by());
    expect(rows).toEqual([
      { interval: "2026-11-17T23:00:00.000Z", count: 1 },
      { interval: "2026-11-18T23:00:00.000Z", count: 1 },
      { interval: "2026-11-19T23:00:00.000Z", count: 2 },
    ]);
  });

  it("single rows with chosen fields, page by page", async () => {
    const fields = ["id", "country", "conversationMessages", "visitCount"];
    const rows: JsonObject[] = [];
    for (let pageToken = ""; ; ) {
      const page = await ask({ fields, limit: 3, pageToken }, by());
      rows.push(...page.rows);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(rows).toEqual([
      { id: "s1", country: "DE", conversationMessages: 0, visitCount: 2 },
      { id: "s2", country: "DE", conversationMessages: 4, visitCount: 2 },
      { id: "s30", country: "FR", conversationMessages: 2, visitCount: 1 },
      { id: "s60", country: null, conversationMessages: 0, visitCount: null },
    ]);
  });

  it("visitors by what they did", async () => {
    const where = [
      { field: "visitCount", op: Operator.AT_LEAST, value: { kind: { case: "numberValue" as const, value: 2 } } },
    ];
    const { rows } = await ask({ from: "visitors", fields: ["id", "linkCount", "country"], where }, by());
    expect(rows).toEqual([{ id: "vis_d1", linkCount: 2, country: "DE" }]);
    const medians = await ask(
      {
        select: [
          { fn: "median", field: "conversationMessages" },
          { fn: "p95", field: "conversationMessages" },
          { fn: "avg", field: "conversationMessages" },
        ],
      },
      by(),
    );
    expect(medians.rows).toEqual([
      {
        median_conversationMessages: 1,
        p95_conversationMessages: expect.closeTo(3.7, 9),
        avg_conversationMessages: 1.5,
      },
    ]);
  });

  it("refuses what there is not, and names it", async () => {
    const refused = (request: Asked, who = by()) =>
      ask(request, who).then(
        () => "answered",
        (error: ConnectError) => [error.code, fieldOf(error)],
      );
    const invalid = (field: string) => [Code.InvalidArgument, field];
    expect(await refused({ groupBy: ["country", "colour"] })).toEqual(invalid("group_by[1]"));
    expect(await refused({ select: [{ fn: "sum", field: "country" }] })).toEqual(invalid("select[0].field"));
    expect(await refused({ select: [{ fn: "drop" }] })).toEqual(invalid("select[0].fn"));
    expect(await refused({ orderBy: [{ field: "country" }] })).toEqual(invalid("order_by[0].field"));
    expect(await refused({ fields: ["id"], groupBy: ["country"] })).toEqual(invalid("fields"));
    expect(await refused({ from: "tables" })).toEqual(invalid("from"));
    expect(await refused({ limit: 20_000 })).toEqual(invalid("limit"));
    expect(await refused({ fields: ["id"], pageToken: "x" })).toEqual(invalid("page_token"));
    const reader = ground.by({ workspace, keyClass: "analytics", scopes: ["analytics:read"] });
    expect(await refused({ from: "visitors" }, reader)).toEqual([Code.PermissionDenied, undefined]);
    expect(await refused({ groupBy: ["email"] }, reader)).toEqual([Code.PermissionDenied, undefined]);
    expect(await refused({ groupBy: ["country"] }, reader)).toBe("answered");
  });
});
