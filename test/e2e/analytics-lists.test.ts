import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";

let waymark: Waymark;
let key: string;
beforeAll(async () => {
  waymark = await startWaymark();
  ({ key } = await waymark.workspace("Lists"));
  const code = await makeCode(waymark, key, { id: "code-1", destination: "https://example.com" });
  await sendScans(
    waymark,
    key,
    [1, 2, 3].map((n) => ({ id: `e${n}`, qpr_code_id: code.id, device_id: `d${n}` })),
  );
  await eventually(async () => expect((await get("/events")).body.json.totalCount).toBe("3"));
});
afterAll(() => waymark?.stop());

const get = (path: string) => waymark.call("GET", `/analytics/v1${path}`, { key });

/** Lists with pages, and where each has its items. */
const LISTS = [
  ["/events", "json"],
  ["/visitors", "json"],
  ["/links", ""],
] as const;

const REVERSED = "startDate=2026-03-02&endDate=2026-03-01";

describe("a list of the Analytics API", () => {
  it.each([
    ["/events?responseFormat=XML", "responseFormat"],
    ["/events?responseFormat=99", "responseFormat"],
    ["/events?responseFormat=response_format_csv", "responseFormat"],
    ["/visitors?responseFormat=RESPONSE_FORMAT_PARQUET", "responseFormat"],
    ["/visitors?sortField=VISITOR_SORT_FIELD_SHOE_SIZE", "sortField"],
    ["/visitors?sortDirection=SIDEWAYS", "sortDirection"],
    ["/links?sortDirection=SIDEWAYS", "sortDirection"],
    ["/events?include=everything", "include"],
    ["/visitors?include=shoes", "include"],
    ["/events?pageSize=0", "pageSize"],
    ["/events?pageSize=-1", "pageSize"],
    ["/visitors?pageSize=-5", "pageSize"],
    ["/links?pageSize=0", "pageSize"],
    ["/events?pageSize=1.5", "pageSize"],
    ["/events?pageSize=99999999999", "pageSize"],
    ["/events?pageToken=nonsense", "pageToken"],
    ["/visitors?pageToken=nonsense", "pageToken"],
    ["/links?pageToken=nonsense", "pageToken"],
    [`/events?${REVERSED}`, "endDate"],
    [`/metrics/events?${REVERSED}`, "endDate"],
    ["/events?startDate=yesterday", "startDate"],
    ["/events?startDate=2026-02-30", "startDate"],
    ["/events?endDate=1772366400", "endDate"],
    ["/metrics/event-days?month=2026-13", "month"],
    ["/metrics/event-days?month=2026-03&timezone=Mars/Olympus", "timezone"],
    ["/sync?limit=0", "limit"],
    ["/exports?pageToken=nonsense", "pageToken"],
  ])("refuses %s with 400, in the words of this API", async (path, field) => {
    const { status, body } = await get(path);
    expect([status, body.error]).toEqual([
      400,
      {
        code: 400,
        codeType: expect.stringMatching(/^[A-Z_]+$/),
        message: expect.stringContaining(field),
        details: expect.any(Array),
      },
    ]);
  });

  it.each(LISTS)("%s clamps a page that is too large", async (path, inside) => {
    const { status, body } = await get(`${path}?pageSize=2147483647`);
    expect(status).toBe(200);
    const page = inside === "" ? body : body[inside];
    expect(page.nextPageToken).toBe("");
  });

  it.each(LISTS)("%s has an empty page where nothing matches", async (path, inside) => {
    const filter = path === "/visitors" ? "email=nobody@example.com" : path === "/links" ? "search=zzzz" : "linkId=no";
    const { status, body } = await get(`${path}?${filter}`);
    const page = inside === "" ? body : body[inside];
    expect([status, page.totalCount, page.nextPageToken]).toEqual([200, "0", ""]);
  });

  it("takes both formats, and one date as both ends", async () => {
    const csv = await get("/events?responseFormat=RESPONSE_FORMAT_CSV");
    expect([csv.status, Object.keys(csv.body)]).toEqual([200, ["csv"]]);
    const json = await get("/events?responseFormat=RESPONSE_FORMAT_JSON");
    expect([json.status, Object.keys(json.body)]).toEqual([200, ["json"]]);
    const same = await get("/events?startDate=2026-03-01&endDate=2026-03-01");
    expect([same.status, same.body.json.totalCount]).toEqual([200, "0"]);
  });

  it("does not take the page token of another key's workspace", async () => {
    const { body } = await get("/events?pageSize=1");
    const { key: stranger } = await waymark.workspace("Stranger");
    const path = `/analytics/v1/events?pageSize=1&pageToken=${body.json.nextPageToken}`;
    expect((await waymark.call("GET", path, { key: stranger })).status).toBe(400);
  });
});
