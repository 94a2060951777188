import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { QueryInterval, QueryRequestSchema } from "#gen/waymark/analytics/v1/query_pb.ts";
import { fieldsOf } from "../fields/fields.ts";
import { openValues } from "../fields/values.ts";
import { fieldsSql, type Ground, groupedSql, totalsSql } from "./compile.ts";
import { columnsOf, FUNCTIONS, planOf } from "./plan.ts";

type Asked = MessageInitShape<typeof QueryRequestSchema>;
const plan = (request: Asked) => planOf(create(QueryRequestSchema, request));
const SEEN = "workspace = $workspace AND human AND test = $test";
const ground = (): Ground => ({
  scope: SEEN,
  where: "TRUE",
  place: { seen: SEEN, asked: { sql: SEEN, hasStart: false }, now: "$wNow" },
  values: openValues("q"),
  starts: [],
});

describe("the plan of a query", () => {
  it("counts where nothing is asked for, and shows 100 rows", () => {
    const { from, aggregates, limit } = plan({});
    expect([from, aggregates.map(({ name }) => name), limit]).toEqual(["events", ["count"], 100]);
  });

  it("names columns as they were asked for: by another name of a field, by as, by function and field", () => {
    const select = [
      { fn: "countUnique", field: "visitorId" },
      { fn: "COUNT_UNIQUE", field: "linkId", as: "links" },
    ];
    const request = { groupBy: ["browser", "attributes.plan"], select, interval: QueryInterval.WEEK };
    expect(columnsOf(plan(request)).map(({ name }) => name)).toEqual([
      ...["interval", "browser", "attributes.plan"],
      ...["countUnique_visitorId", "links"],
    ]);
  });

  it.each<[string, Asked, string]>([
    ["a field", { groupBy: ["hair"] }, "group_by[0] must be one of: id, scannedAt,"],
    [
      "a function",
      { select: [{ fn: "mode", field: "country" }] },
      "must be one of: count, countUnique, sum, avg, min, max",
    ],
    ["what rows are", { from: "links" }, "from must be one of: events, visitors"],
    ["a column to sort by", { select: [{ fn: "count", as: "n" }], orderBy: [{ by: "count" }] }, "must be one of: n"],
  ])("lists what there is when it refuses %s", (_case, request, says) => {
    expect(() => plan(request)).toThrow(says);
  });

  it.each<[string, Asked]>([
    ["a sum of texts", { select: [{ fn: "sum", field: "country" }] }],
    ["a median of times", { select: [{ fn: "median", field: "scannedAt" }] }],
    ["an average of truths", { select: [{ fn: "avg", field: "conversationStarted" }] }],
    ["the least of words", { select: [{ fn: "min", field: "deviceType" }] }],
    ["different lists", { select: [{ fn: "countUnique", field: "tag" }] }],
    ["a sum of nothing", { select: [{ fn: "sum" }] }],
    ["two columns of one name", { groupBy: ["country"], select: [{ fn: "count", as: "country" }] }],
    ["more values than one answer holds", { fields: fieldsOf("events").map(({ name }) => name), limit: 10_000 }],
    ["pages of groups", { groupBy: ["country"], pageToken: "x" }],
  ])("refuses %s", (_case, request) => {
    expect(() => plan(request)).toThrow();
  });
});

it("a statement holds no text of the caller", () => {
  const mark = "zQ7";
  const names = [`attributes.${mark}'"--`, `attributes.${mark}) FROM events; --`, "country", "email", "tag", "score"];
  const select = Object.keys(FUNCTIONS).map((fn, n) => ({ fn, field: names[0], as: `${mark}_${n}` }));
  const orderBy = [{ field: names[0] }, { field: `${mark}_1`, desc: true }];
  for (const from of ["events", "visitors"]) {
    const groupBy = names.filter((name) => from === "events" || name !== "tag");
    const grouped = plan({ from, groupBy, select, orderBy });
    const single = plan({ from, fields: groupBy, orderBy: [{ field: names[1] }] });
    const grounds = [ground(), ground(), ground()];
    const [one, other, third] = grounds as [Ground, Ground, Ground];
    const said = [
      groupedSql(grouped, one, from === "visitors"),
      totalsSql(grouped, other),
      fieldsSql(single, third, 0),
    ];
    expect(said.join(" ")).not.toContain(mark);
    for (const { values } of grounds) expect(Object.values(values.params).join(" ")).toContain(mark);
  }
});
