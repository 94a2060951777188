import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, type SentScan, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";

let waymark: Waymark;
let key: string;
let menu: { id: string };
let poster: { id: string };

const get = (path: string, by = key) => waymark.call("GET", `/analytics/v1${path}`, { key: by });
const send = (method: string, path: string, body?: unknown, by = key) =>
  waymark.call(method, `/analytics/v1${path}`, { key: by, body });
const query = (body: unknown, by = key) => send("POST", "/query", body, by);
const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString();

/** A key of the workspace with these scopes. */
async function narrow(...scopes: string[]): Promise<string> {
  const made = await waymark.call("POST", "/waymark/v1/keys", { key, body: { name: scopes.join(), scopes } });
  return made.body.secret;
}

beforeAll(async () => {
  waymark = await startWaymark();
  ({ key } = await waymark.workspace("Query"));
  menu = await makeCode(waymark, key, { name: "Menu", destination: "https://example.com" });
  poster = await makeCode(waymark, key, { name: "Poster", destination: "https://example.com" });
  const scan = (id: string, given: Partial<SentScan>): SentScan => ({
    id,
    qpr_code_id: menu.id,
    device: "mobile",
    ...given,
  });
  const sent = await sendScans(waymark, key, [
    scan("a1", { device_id: "a", country: "DE", scanned_at: hoursAgo(50) }),
    scan("a2", { device_id: "a", country: "DE", scanned_at: hoursAgo(2), qpr_code_id: poster.id }),
    scan("b1", { device_id: "b", country: "FR", scanned_at: hoursAgo(3), device: "desktop" }),
    scan("x1", { scanned_at: hoursAgo(4) }),
  ]);
  expect(sent.body.rejected).toEqual([]);
  await eventually(async () => expect((await query({})).body.totalCount).toBe("4"));
}, 60_000);
afterAll(() => waymark?.stop());

const WIDE = ["id", "linkId", "country", "region", "city", "isp", "asn", "rule", "language", "actor", "action"];

describe("a query", () => {
  it("groups, adds up and sorts, with the unknown as a member and totals that add up", async () => {
    const select = [
      { fn: "count", as: "scans" },
      { fn: "countUnique", field: "visitorId", as: "people" },
    ];
    const { status, body } = await query({ groupBy: ["country"], select, orderBy: [{ by: "scans", desc: true }] });
    expect([status, body]).toEqual([
      200,
      {
        columns: [
          { name: "country", type: "string" },
          { name: "scans", type: "number" },
          { name: "people", type: "number" },
        ],
        rows: [
          { country: "DE", scans: 2, people: 1 },
          { country: "FR", scans: 1, people: 1 },
          { country: null, scans: 1, people: 0 },
        ],
        totals: { scans: 4, people: 2 },
        totalCount: "4",
        truncated: false,
        nextPageToken: "",
      },
    ]);
  });

  it("takes the short words of conditions, lists in value, and alternatives", async () => {
    const count = async (where: unknown) => (await query({ where })).body.rows?.[0]?.count;
    expect(await count([{ field: "country", op: "EQ", value: "DE" }])).toBe(2);
    expect(await count([{ field: "country", op: "NE", value: "DE" }])).toBe(2);
    expect(await count([{ field: "country", op: "IN", value: ["DE", "FR"] }])).toBe(3);
    expect(await count([{ field: "country", op: "EXISTS", value: false }])).toBe(1);
    expect(await count([{ field: "time", op: "LT", value: hoursAgo(24) }])).toBe(1);
    expect(await count([{ field: "linkName", op: "CONTAINS", value: "POST" }])).toBe(1);
    const either = {
      anyOf: [
        { field: "country", value: "FR" },
        { field: "linkId", value: poster.id },
      ],
    };
    expect(await count([either, { field: "deviceType", op: "EQ", value: "mobile" }])).toBe(1);
  });

  it("shows chosen fields page by page, and visitors", async () => {
    const first = (await query({ fields: ["id", "linkName"], limit: 3 })).body;
    const rest = (await query({ fields: ["id", "linkName"], limit: 3, pageToken: first.nextPageToken })).body;
    const rows = [...first.rows, ...rest.rows].map(({ linkName }: { linkName: string }) => linkName);
    expect([rows, rest.nextPageToken]).toEqual([["Poster", "Menu", "Menu", "Menu"], ""]);
    const people = await query({
      from: "visitors",
      fields: ["id", "visitCount", "country"],
      where: [{ field: "visitCount", op: "GTE", value: 2 }],
    });
    expect(people.body.rows).toEqual([{ id: expect.stringMatching(/^vis_/), visitCount: 2, country: "DE" }]);
  });

  it("groups by the hours of a zone, and tells where its numbers come from", async () => {
    const { body } = await query({ interval: "DAY", timezone: "Asia/Kolkata", startDate: hoursAgo(72), explain: true });
    for (const { interval } of body.rows) expect(interval).toMatch(/T18:30:00\.000Z$/);
    expect(body.totals).toEqual({ count: 4 });
    expect(body.explain).toMatchObject({
      considered: "4",
      timezone: "Asia/Kolkata",
      definition: "docs/analytics.md#query",
    });
  });

  it.each<[string, object, string]>([
    ["an unknown field", { groupBy: ["hair"] }, "groupBy[0] must be one of: id, scannedAt"],
    ["an unknown operator", { where: [{ field: "country", op: "LIKE", value: "D" }] }, "EQUALS"],
    ["an operator of another kind", { where: [{ field: "country", op: "GT", value: "D" }] }, "takes EQ, NE"],
    ["an unknown function", { select: [{ fn: "mode" }] }, "must be one of: count, countUnique"],
    ["a sum of texts", { select: [{ fn: "sum", field: "city" }] }, "select[0].field"],
    ["a value of another kind", { where: [{ field: "asn", value: "x" }] }, "where[0].value must be a number"],
    ["too many rows", { limit: 10_001 }, "limit"],
    ["more values than an answer holds", { fields: WIDE, limit: 10_000 }, "limit must be at most 9090 with 11 columns"],
  ])("refuses %s and says what there is", async (_case, body, says) => {
    const answer = await query(body);
    expect([answer.status, answer.body.error.message]).toEqual([400, expect.stringContaining(says)]);
  });

  it("needs its scopes, sees its own workspace, and test data apart", async () => {
    const other = (await waymark.workspace("Elsewhere")).key;
    expect((await query({}, other)).body.totalCount).toBe("0");
    const analyst = await narrow("analytics:read");
    expect((await query({}, analyst)).status).toBe(200);
    expect((await query({ from: "visitors" }, analyst)).status).toBe(403);
    expect((await query({ groupBy: ["email"] }, analyst)).status).toBe(403);
    expect((await query({}, await narrow("codes:read"))).status).toBe(403);
  });

  it("lists its fields", async () => {
    const { body } = await get("/query/fields?from=visitors");
    const names = body.fields.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining(["id", "email", "visitCount", "score", "attributes.KEY"]));
    expect((await get("/query/fields?from=tables")).status).toBe(400);
  });
});

it("a segment is kept, counts who is in it now, lists them, and goes", async () => {
  const behaviours = [{ linkId: poster.id }];
  const where = [{ field: "country", op: "IN", value: ["DE", "FR"] }];
  const made = await send("POST", "/segments", { name: "Posters", where, behaviours });
  expect([made.status, made.body.segment]).toMatchObject([200, { name: "Posters", size: "1", behaviours }]);
  const path = `/segments/${made.body.segment.id}`;
  expect((await send("POST", "/segments", { name: "posters", where })).status).toBe(409);
  const { body } = await get(`${path}/visitors?include=devices`);
  expect([body.totalCount, body.visitors.map(({ id }: { id: string }) => id)]).toEqual([
    "1",
    [expect.stringMatching(/^vis_/)],
  ]);
  const b2 = { id: "b2", qpr_code_id: poster.id, device_id: "b", country: "FR" };
  expect((await sendScans(waymark, key, [b2])).body.rejected).toEqual([]);
  await eventually(async () => expect((await get(path)).body.segment.size).toBe("2"));
  const never = await send("PATCH", path, { behaviours: [{ linkId: poster.id, never: true }] });
  expect(never.body.segment.size).toBe("0");
  expect((await get(path, (await waymark.workspace("Foreign")).key)).status).toBe(404);
  expect((await send("DELETE", path, undefined, await narrow("analytics:read"))).status).toBe(403);
  expect([(await send("DELETE", path)).body, (await get(path)).status]).toEqual([{}, 404]);
});
