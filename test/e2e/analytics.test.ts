import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, type SentScan, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { MILLIS } from "./house-keys.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;
let workspace: string;
let code: { id: string; short_id: string; scan_url: string };

beforeAll(async () => {
  waymark = await startWaymark({ WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8" });
  await fresh("Link Breakers");
});
afterAll(() => waymark?.stop());

/** A workspace and a code of its own for what follows. */
async function fresh(name: string): Promise<void> {
  ({ key, id: workspace } = await waymark.workspace(name));
  code = await makeCode(waymark, key, { name: "Spring", destination: "https://example.com/spring" });
}

const get = (path: string) => waymark.call("GET", `/analytics/v1${path}`, { key });
const post = (path: string, body: unknown) => waymark.call("POST", `/analytics/v1${path}`, { key, body });

/** Sends scans of the code and waits until analytics have so many events in all. */
async function events(scans: readonly SentScan[], total = scans.length): Promise<void> {
  const sent = await sendScans(
    waymark,
    key,
    scans.map((scan) => ({ qpr_code_id: code.id, ...scan })),
  );
  expect(sent.body.rejected).toEqual([]);
  await eventually(async () => expect((await get("/events?pageSize=1")).body.json.totalCount).toBe(String(total)));
}

const at = (minute: number) => new Date(Date.UTC(2026, 2, 1, 12, minute)).toISOString();

describe("events", () => {
  beforeAll(async () => {
    await fresh("Events");
    await events([
      { id: "e1", scanned_at: at(1), device_id: "d1", ip: "8.8.8.8", user_agent: PHONE },
      { id: "e2", scanned_at: at(2), device_id: "d1", country: "DE", city: "=1+1" },
      { id: "e3", scanned_at: at(3), device_id: "d2", device: "desktop" },
    ]);
  });

  it("have the vendor's shape, newest first", async () => {
    const { status, body } = await get("/events");
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual(["json"]);
    expect(Object.keys(body.json)).toEqual(["events", "hasMore", "nextPageToken", "totalCount"]);
    expect(body.json).toMatchObject({ hasMore: false, nextPageToken: "", totalCount: "3" });
    const [third, second, first] = body.json.events;
    expect([third.id, second.id, first.id]).toEqual(["e3", "e2", "e1"]);
    expect(first).toStrictEqual({
      id: "e1",
      workspaceId: workspace,
      linkId: code.id,
      visitorId: second.visitorId,
      deviceId: second.deviceId,
      action: "ACTION_SCAN",
      visitType: "VISIT_TYPE_FIRST",
      entrypoint: code.scan_url,
      scannedAt: at(1),
      createdAt: expect.stringMatching(MILLIS),
      updatedAt: first.createdAt,
      traces: [],
    });
    expect([second.visitType, third.visitType]).toEqual(["VISIT_TYPE_RETURNING", "VISIT_TYPE_FIRST"]);
    expect(third.visitorId).not.toBe(first.visitorId);
    expect(first.deviceId).not.toContain("d1");
  });

  it("include what is asked for, and nothing else", async () => {
    const query = "include=device&include=visitor&include=link&include=workspace&include=leadScore";
    const { body } = await get(`/events?${query}`);
    const first = body.json.events[2];
    expect(first.workspace).toEqual({ id: workspace, name: "Events" });
    expect(first.visitor).toEqual({ id: first.visitorId });
    expect(first.link).toEqual({
      id: code.id,
      name: "Spring",
      shortlink: code.short_id,
      entrypoint: code.scan_url,
      destination: "https://example.com/spring",
    });
    expect(first.device).toMatchObject({
      id: first.deviceId,
      country: "US",
      ipAddress: "8.8.8.0",
      userAgent: PHONE,
      browserName: "Safari",
      platformName: "iOS",
      deviceType: "DEVICE_TYPE_MOBILE",
      deviceActor: "DEVICE_ACTOR_HUMAN",
      deviceBrand: "Apple",
    });
    expect(body.json.events[0].device).toMatchObject({ deviceType: "DEVICE_TYPE_DESKTOP" });
    expect(body.json.events[0].device).not.toHaveProperty("country");
  });

  it("are narrowed by link, visitor and dates, both of them inclusive", async () => {
    const ids = async (query: string) => {
      const { body } = await get(`/events?${query}`);
      return body.json.events.map(({ id }: { id: string }) => id);
    };
    const { body } = await get("/events?pageSize=1");
    expect(await ids(`startDate=${at(2)}&endDate=${at(3)}`)).toEqual(["e3", "e2"]);
    expect(await ids(`startDate=${at(2)}&endDate=${at(2)}`)).toEqual(["e2"]);
    expect(await ids(`visitorId=${body.json.events[0].visitorId}`)).toEqual(["e3"]);
    expect(await ids(`linkId=${code.id}`)).toHaveLength(3);
    expect(await ids("linkId=nobody")).toEqual([]);
  });

  it("come as CSV inside JSON, with nothing that a spreadsheet would run", async () => {
    const { body } = await get("/events?responseFormat=RESPONSE_FORMAT_CSV");
    expect(Object.keys(body)).toEqual(["csv"]);
    expect(body.csv.contentType).toMatch(/^text\/csv/);
    const [header, ...lines] = body.csv.csvData.trimEnd().split("\r\n");
    const columns = header.split(",");
    expect(columns).toEqual(expect.arrayContaining(["id", "scannedAt", "linkId", "country", "city"]));
    expect(lines).toHaveLength(3);
    expect(lines[1].split(",")[columns.indexOf("city")]).toBe("'=1+1");
  });

  it.each([
    ["pageSize=0", "pageSize"],
    ["pageSize=many", "pageSize"],
    ["pageToken=nonsense", "pageToken"],
    ["startDate=today", "startDate"],
    [`startDate=${at(3)}&endDate=${at(2)}`, "endDate"],
    ["responseFormat=XML", "responseFormat"],
    ["include=secrets", "include"],
  ])("refuse %s in the vendor's shape", async (query, field) => {
    const { status, body } = await get(`/events?${query}`);
    expect([status, Object.keys(body)]).toEqual([400, ["error"]]);
    expect(Object.keys(body.error)).toEqual(["code", "codeType", "message", "details"]);
    expect(body.error).toMatchObject({ code: 400, codeType: "INVALID_ARGUMENT" });
    expect(body.error.message).toContain(field);
  });

  it("clamp the size of a page to a thousand", async () => {
    expect((await get("/events?pageSize=100000")).body.json.events).toHaveLength(3);
  });

  it("do not take a page token of another question", async () => {
    const { body } = await get("/events?pageSize=1");
    const answer = await get(`/events?pageSize=1&linkId=${code.id}&pageToken=${body.json.nextPageToken}`);
    expect([answer.status, answer.body.error.codeType]).toEqual([400, "INVALID_ARGUMENT"]);
  });
});

it("events are paged through without a gap or a repetition while others arrive", async () => {
  await fresh("Pages");
  await events(Array.from({ length: 250 }, (_, n) => ({ id: `p${n}`, scanned_at: at(n), device_id: `d${n % 40}` })));
  const seen: string[] = [];
  let token = "";
  for (let page = 0; page < 20; page += 1) {
    const { body } = await get(`/events?pageSize=30&pageToken=${encodeURIComponent(token)}`);
    seen.push(...body.json.events.map(({ id }: { id: string }) => id));
    expect(body.json.hasMore).toBe(body.json.nextPageToken !== "");
    if (!body.json.hasMore) break;
    token = body.json.nextPageToken;
    const others = [1_000 + page, 100 + page, -100 - page].map((minute) => ({ scanned_at: at(minute) }));
    await events(others, 253 + page * 3);
  }
  expect(seen).toEqual(Array.from({ length: 250 }, (_, n) => `p${249 - n}`));
});

describe("visitors", () => {
  beforeAll(async () => {
    await fresh("Visitors");
    await events([
      { id: "a1", scanned_at: at(1), device_id: "a", country: "US" },
      { id: "a2", scanned_at: at(5), device_id: "a", country: "US" },
      { id: "b1", scanned_at: at(2), device_id: "b" },
      { id: "none", scanned_at: at(3) },
    ]);
  });

  it("are the devices that are known, in the vendor's shape", async () => {
    const { body } = await get("/visitors");
    expect(Object.keys(body.json)).toEqual(["visitors", "hasMore", "nextPageToken", "totalCount"]);
    expect(body.json).toMatchObject({ hasMore: false, nextPageToken: "", totalCount: "2" });
    expect(body.json.visitors[1]).toStrictEqual({
      id: expect.any(String),
      email: null,
      phone: null,
      firstName: null,
      lastName: null,
      attributes: [],
      visitCount: "2",
      deviceCount: "1",
      qrcodeCount: "1",
      createdAt: at(1),
      updatedAt: at(5),
    });
    const listed = await get("/events");
    const ids = new Set(listed.body.json.events.flatMap(({ visitorId }: { visitorId?: string }) => visitorId ?? []));
    expect(new Set(body.json.visitors.map(({ id }: { id: string }) => id))).toEqual(ids);
  });

  it("include their devices, events and links", async () => {
    const { body } = await get("/visitors?include=devices&include=events&include=links&sortField=visitCount");
    const [first] = body.json.visitors;
    expect(first.events).toMatchObject([
      { id: "a2", linkId: code.id, action: "ACTION_SCAN", visitType: "VISIT_TYPE_RETURNING", scannedAt: at(5) },
      { id: "a1", linkId: code.id, action: "ACTION_SCAN", visitType: "VISIT_TYPE_FIRST", scannedAt: at(1) },
    ]);
    expect(first.devices).toMatchObject([{ country: "US" }]);
    expect(first.links).toMatchObject([
      { id: code.id, name: "Spring", eventCount: "2", firstVisitedAt: at(1), lastVisitedAt: at(5) },
    ]);
  });

  it("are sorted and paged as asked", async () => {
    const page = async (query: string) => (await get(`/visitors?sortField=createdAt&${query}`)).body.json;
    const ascending = await page("sortDirection=SORT_DIRECTION_ASC");
    const descending = await page("");
    expect(descending.visitors).toStrictEqual(ascending.visitors.toReversed());
    const first = await page("pageSize=1");
    expect([first.visitors.length, first.hasMore]).toEqual([1, true]);
    const second = await page(`pageSize=1&pageToken=${encodeURIComponent(first.nextPageToken)}`);
    expect([...first.visitors, ...second.visitors]).toStrictEqual(descending.visitors);
    expect(second.hasMore).toBe(false);
  });

  it("come as CSV, and nobody has an address before being identified", async () => {
    const { body } = await get("/visitors?responseFormat=RESPONSE_FORMAT_CSV");
    expect(body.csv.csvData.trimEnd().split("\r\n")).toHaveLength(3);
    expect((await get("/visitors?email=a%40example.com")).body.json).toMatchObject({ visitors: [], totalCount: "0" });
  });
});

describe("numbers", () => {
  beforeAll(async () => {
    await fresh("Numbers");
    await events([
      { id: "n1", scanned_at: at(0), country: "US", city: "Boston", device: "mobile" },
      { id: "n2", scanned_at: at(30), country: "US", city: "Boston", device: "mobile" },
      { id: "n3", scanned_at: at(59), country: "GB", city: "London", device: "desktop" },
      { id: "n4", scanned_at: at(120), device_id: "x" },
    ]);
  });

  it("of events are bare, as int32 numbers", async () => {
    const { body } = await get("/metrics/events");
    expect(body).toMatchObject({
      totalEvents: 4,
      totalCountries: 2,
      totalCities: 2,
      totalDeviceTypes: 2,
      topCountry: "US",
      topCity: "Boston",
      topDeviceType: "DEVICE_TYPE_MOBILE",
      firstAt: at(0),
      lastAt: at(120),
    });
    const narrowed = await get(`/metrics/events?startDate=${at(59)}&endDate=${at(59)}&linkId=${code.id}`);
    expect(narrowed.body).toMatchObject({ totalEvents: 1, topCountry: "GB", firstAt: at(59), lastAt: at(59) });
    const nothing = await get("/metrics/events?linkId=nobody");
    expect(nothing.body).toMatchObject({ totalEvents: 0, totalCountries: 0 });
    expect(nothing.body).not.toHaveProperty("topCountry");
  });

  it("over time have every interval, empty ones too", async () => {
    const range = { startDate: at(0), endDate: at(120), intervalInMinutes: 60 };
    const { body } = await post("/timeseries/events", range);
    expect(body).toStrictEqual({
      timeSeries: {
        data: [
          { timestamp: at(0), eventCount: 3 },
          { timestamp: at(60), eventCount: 0 },
          { timestamp: at(120), eventCount: 1 },
        ],
        totalData: 4,
        totalIntervals: 3,
      },
    });
    const other = await post("/timeseries/events", { ...range, linkId: "nobody" });
    expect(other.body.timeSeries).toMatchObject({ totalData: 0, totalIntervals: 3 });
  });

  it.each<[object, string]>([
    [{ startDate: at(0) }, "endDate"],
    [{ startDate: at(9), endDate: at(0) }, "endDate"],
    [{ startDate: at(0), endDate: "2026-12-01", intervalInMinutes: 1 }, "intervalInMinutes"],
    [{ startDate: at(0), endDate: at(9), intervalInMinutes: 0 }, "intervalInMinutes"],
  ])("over %j are refused", async (body, field) => {
    const answer = await post("/timeseries/events", body);
    expect([answer.status, answer.body.error?.codeType]).toEqual([400, expect.stringMatching(/INVALID|RANGE/)]);
    expect(answer.body.error.message).toContain(field);
  });
});
