import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ResponseFormat, SortDirection } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import {
  VisitorAttributeFilterOperator as Operator,
  type SearchVisitorsRequestSchema,
  VisitorService,
} from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

type Search = MessageInitShape<typeof SearchVisitorsRequestSchema>;

/** What is known of whom, by device; "i" is nobody known, and "b2" is another device of "b". */
const PEOPLE: Readonly<Record<string, JsonObject>> = {
  a: { $email: "ann@example.com", $firstName: "Ann", budget: 800_000, timeline: "under_6_months", vip: true },
  b: { $email: "Bo@Example.com", budget: 799_999.5, timeline: "Under_6_months", vip: false, joined: "2026-03-01" },
  c: { budget: "800000", timeline: "", joined: "2026-03-01T00:00:00Z", vip: "true" },
  d: { budget: -1, joined: "2026-02-28T23:59:59.999Z", timeline: "6%" },
  e: { joined: "soon", timeline: "6_months", vip: 1 },
  f: { budget: 0, joined: "2026-03-02T01:00:00+02:00" },
  g: { other: "x" },
  h: { $firstName: "Ann", $phone: "+49 30 1", timeline: "under" },
};
const DEVICES = [...Object.keys(PEOPLE), "i"];
const WORKSPACE = "searched";

let ground: AnalyticsGround;
let by: ReturnType<AnalyticsGround["by"]>;
const api = () => ground.client(VisitorService);
const lbidOf = (id: string) => Buffer.from(id).toString("base64url");

beforeAll(async () => {
  ground = await openAnalyticsGround();
  by = ground.by({ workspace: WORKSPACE });
  // Everybody has come once, b twice as often, a by another link as well; so that each order has ties.
  const touches = [...DEVICES, "b2"].map((device, n) => scanOf(device, `e-${device}`, NOW - (n >> 1) * 1_000));
  await ground.append([...touches, { ...scanOf("a", "a-again", NOW), codeId: "link_2" }]);
  await ground.settle();
  for (const [device, data] of Object.entries(PEOPLE)) await identify(device, data);
  await identify("b2", { $email: "bo@example.com" });
}, 30_000);
afterAll(() => ground.close());

const scanOf = (deviceId: string, id: string, at: number) => touchOf({ id, workspaceId: WORKSPACE, deviceId, at });
const identify = (device: string, data: JsonObject) =>
  api().identifyVisitor({ lbid: lbidOf(`e-${device}`), visitor: { data } }, by);
const search = async (request: Search, who = by) => (await api().searchVisitors(request, who)).json;
const found = async (request: Search) =>
  (await search(request))?.visitors.map(({ id }) => id.replace("vis_", "")).sort();
const refused = (request: Search) =>
  api()
    .searchVisitors(request, by)
    .then(
      () => "answered",
      (error: ConnectError) => [error.code, fieldOf(error)],
    );

/** What a filter means, in plain code, as the vendor's client describes its operators. */
function holds(data: JsonObject, operator: string, { key, value }: { key: string; value: string }): boolean {
  const kept = key === "$email" && data[key] !== undefined ? String(data[key]).toLowerCase() : data[key];
  const wanted = key === "$email" ? value.toLowerCase() : value;
  const text = kept === undefined ? "" : String(kept);
  const number = typeof kept === "number" ? kept : Number.NaN;
  const time = typeof kept === "string" && /^\d{4}-/.test(kept) ? Date.parse(kept) : Number.NaN;
  const compared: Record<string, boolean> = {
    STRING_EQUALS: text === wanted,
    STRING_NOT_EQUALS: text !== wanted,
    STRING_CONTAINS: text.includes(wanted),
    STRING_NOT_CONTAINS: !text.includes(wanted),
    STRING_STARTS_WITH: text.startsWith(wanted),
    STRING_ENDS_WITH: text.endsWith(wanted),
    STRING_IS_EMPTY: text === "",
    STRING_IS_NOT_EMPTY: text !== "",
    NUMBER_EQUALS: number === Number(value),
    NUMBER_NOT_EQUALS: !Number.isNaN(number) && number !== Number(value),
    NUMBER_GREATER_THAN: number > Number(value),
    NUMBER_LESS_THAN: number < Number(value),
    NUMBER_GREATER_OR_EQUAL: number >= Number(value),
    NUMBER_LESS_OR_EQUAL: number <= Number(value),
    DATE_EQUALS: time === Date.parse(value),
    DATE_BEFORE: time < Date.parse(value),
    DATE_AFTER: time > Date.parse(value),
    DATE_BEFORE_OR_EQUAL: time <= Date.parse(value),
    DATE_AFTER_OR_EQUAL: time >= Date.parse(value),
    BOOLEAN_IS_TRUE: kept === true,
    BOOLEAN_IS_FALSE: kept !== true,
    EXISTS: kept !== undefined,
    NOT_EXISTS: kept === undefined,
  };
  if (compared[operator] === undefined) throw new Error(`${operator} is not described`);
  return compared[operator];
}

const expected = (operator: string, given: { key: string; value: string }) =>
  DEVICES.filter((device) => holds(PEOPLE[device] ?? {}, operator, given)).sort();

const OPERATORS = Object.keys(Operator).filter((name) => /^[A-Z]/.test(name) && name !== "UNSPECIFIED");
const VALUES: readonly [RegExp, readonly string[]][] = [
  [/^STRING/, ["", "under", "_months", "under_6_months", "6%", "800000", "true"]],
  [/^NUMBER/, ["800000", "799999.5", "-1", "0", "8e5"]],
  [/^DATE/, ["2026-03-01", "2026-03-01T00:00:00Z", "2026-03-01T23:00:00.000Z", "2026-02-28T22:59:59.999-01:00"]],
  [/^(?:BOOLEAN|EXISTS|NOT)/, ["not looked at"]],
];
const valuesOf = (operator: string) => VALUES.find(([names]) => names.test(operator))?.[1] ?? [];

it.each(OPERATORS)("%s finds whom plain code finds", async (operator) => {
  expect(OPERATORS).toHaveLength(23);
  for (const key of ["budget", "timeline", "joined", "vip", "nobody has this"])
    for (const value of valuesOf(operator)) {
      const filter = { key, operator: Operator[operator as keyof typeof Operator], value };
      const visitors = await found({ attributeFilters: [filter] });
      expect([operator, key, value, visitors]).toEqual([operator, key, value, expected(operator, { key, value })]);
    }
});

it.each(["$email", "$firstName", "$phone", "$lastName"])("%s is asked for like a text", async (key) => {
  for (const operator of OPERATORS.filter((name) => /^STRING|EXISTS/.test(name)))
    for (const value of ["", "Ann", "ann@example.com", "BO@example.com", "+49"]) {
      const filter = { key, operator: Operator[operator as keyof typeof Operator], value };
      const visitors = await found({ attributeFilters: [filter] });
      expect([operator, key, value, visitors]).toEqual([operator, key, value, expected(operator, { key, value })]);
    }
});

const budgetFrom = (value: string) => ({ key: "budget", operator: Operator.NUMBER_GREATER_OR_EQUAL, value });
const not = (key: string) => ({ key, operator: Operator.NOT_EXISTS });

describe("filters", () => {
  it("must all hold, and so must what else is asked", async () => {
    const timeline = { key: "timeline", operator: Operator.STRING_EQUALS, value: "under_6_months" };
    expect(await found({ attributeFilters: [budgetFrom("800000"), timeline] })).toEqual(["a"]);
    expect(await found({ attributeFilters: [budgetFrom("0"), not("joined")] })).toEqual(["a"]);
    expect(await found({ attributeFilters: [budgetFrom("0")], search: "aNN" })).toEqual(["a"]);
    expect(await found({ attributeFilters: [budgetFrom("0")], email: "Bo@example.com" })).toEqual(["b"]);
    expect(await found({ attributeFilters: [budgetFrom("-10")], linkId: "link_2" })).toEqual(["a"]);
    expect(await found({ attributeFilters: [not("budget"), not("budget")], search: "vis_i" })).toEqual(["i"]);
    expect(await found({ attributeFilters: Array.from({ length: 20 }, () => budgetFrom("0")) })).toEqual([
      "a",
      "b",
      "f",
    ]);
  });

  it("find a visitor of two devices once, with all that it did", async () => {
    const page = await search({ attributeFilters: [budgetFrom("1")], sortField: "deviceCount", include: ["devices"] });
    expect(page?.visitors[0]).toMatchObject({ id: "vis_b", deviceCount: 2n, visitCount: 2n });
    expect(page?.visitors[0]?.devices).toHaveLength(2);
    expect(page?.totalCount).toBe(2n);
  });

  it("answer as CSV", async () => {
    const request = { attributeFilters: [budgetFrom("800000")], responseFormat: ResponseFormat.CSV };
    const { csv, json } = await api().searchVisitors(request, by);
    expect([json, csv?.csvData.trim().split("\r\n")]).toEqual([
      undefined,
      [expect.any(String), expect.stringMatching(/^vis_a,/)],
    ]);
  });

  it("see neither other workspaces nor the other world", async () => {
    for (const who of [{ workspace: "elsewhere" }, { workspace: WORKSPACE, test: true }])
      for (const filter of [budgetFrom("0"), not("budget")])
        expect((await search({ attributeFilters: [filter] }, ground.by(who)))?.visitors).toEqual([]);
  });

  it("see what was just said, and no more what was taken back", async () => {
    const wanted = { attributeFilters: [{ key: "mood", operator: Operator.EXISTS }] };
    expect(await found(wanted)).toEqual([]);
    await identify("g", { mood: "good" });
    expect(await found(wanted)).toEqual(["g"]);
    await api().deleteVisitorAttribute({ id: "vis_g", attributeKey: "mood" }, by);
    expect(await found(wanted)).toEqual([]);
  });
});

describe("pages", () => {
  const attributeFilters = [not("other")];

  let came = 0;

  it.each([
    "createdAt",
    "updatedAt",
    "VISITOR_SORT_FIELD_VISIT_COUNT",
    "deviceCount",
    "VISITOR_SORT_FIELD_QRCODE_COUNT",
  ])("by %s show each once in both directions, and nobody who comes meanwhile", async (sortField) => {
    for (const sortDirection of [SortDirection.ASC, SortDirection.DESC]) {
      const whole = await search({ attributeFilters, sortField, sortDirection, pageSize: 200 });
      const seen: string[] = [];
      for (let pageToken = "", hasMore = true; hasMore; ) {
        const page = await search({ attributeFilters, sortField, sortDirection, pageSize: 3, pageToken });
        seen.push(...(page?.visitors.map(({ id }) => id) ?? []));
        [pageToken, hasMore] = [page?.nextPageToken ?? "", page?.hasMore ?? false];
        expect(page?.totalCount).toBe(whole?.totalCount);
        came += 1;
        await ground.append([scanOf(`late${came}`, `late${came}`, NOW - 500), scanOf("d", `more${came}`, NOW)]);
        await ground.settle();
      }
      expect(seen).toEqual(whole?.visitors.map(({ id }) => id));
      expect(seen.length).toBeGreaterThan(6);
    }
  });

  it("go on by the other name of their token, and only for the same filters", async () => {
    const first = await search({ attributeFilters, pageSize: 2 });
    const cursor = first?.nextPageToken ?? "";
    expect((await search({ attributeFilters, pageSize: 2, cursor }))?.visitors).toHaveLength(2);
    for (const other of [[], [not("budget")], [{ ...not("other"), value: "", operator: Operator.EXISTS }]])
      expect(await refused({ attributeFilters: other, pageToken: cursor })).toEqual([
        Code.InvalidArgument,
        "page_token",
      ]);
  });
});

describe("a filter that cannot be", () => {
  const { NUMBER_EQUALS, DATE_AFTER, STRING_EQUALS, BOOLEAN_IS_TRUE, EXISTS } = Operator;
  it.each<[string, object, string]>([
    ["a number that is none", { key: "a", operator: NUMBER_EQUALS, value: "many" }, "value"],
    ["no number", { key: "a", operator: NUMBER_EQUALS }, "value"],
    ["an endless number", { key: "a", operator: NUMBER_EQUALS, value: "1e999" }, "value"],
    ["a hexadecimal number", { key: "a", operator: NUMBER_EQUALS, value: "0x10" }, "value"],
    ["a day that is none", { key: "a", operator: DATE_AFTER, value: "yesterday" }, "value"],
    ["a time without zone", { key: "a", operator: DATE_AFTER, value: "2026-03-01T10:00:00" }, "value"],
    ["a name as number", { key: "$firstName", operator: NUMBER_EQUALS, value: "1" }, "operator"],
    ["an address as date", { key: "$email", operator: DATE_AFTER, value: "2026-03-01" }, "operator"],
    ["an address as truth", { key: "$email", operator: BOOLEAN_IS_TRUE }, "operator"],
    ["an unknown field of the profile", { key: "$nick", operator: EXISTS }, "key"],
    ["no key", { operator: EXISTS }, "key"],
    ["a key that is too long", { key: "k".repeat(101), operator: EXISTS }, "key"],
    ["no operator", { key: "a" }, "operator"],
    ["an operator that there is not", { key: "a", operator: 99 }, "operator"],
    ["a value that is too long", { key: "a", operator: STRING_EQUALS, value: "x".repeat(2_001) }, "value"],
  ])("is refused by its place: %s", async (_case, filter, field) => {
    const attributeFilters = [budgetFrom("1"), filter] as Search["attributeFilters"];
    expect(await refused({ attributeFilters })).toEqual([Code.InvalidArgument, `attribute_filters[1].${field}`]);
  });

  it("is one of more than twenty", async () => {
    const attributeFilters = Array.from({ length: 21 }, () => budgetFrom("1"));
    expect(await refused({ attributeFilters })).toEqual([Code.InvalidArgument, "attribute_filters"]);
  });
});
