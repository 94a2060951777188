import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { CONCIERGE, makeCode, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;
const get = (path: string, as = key) => waymark.call("GET", path, { key: as });
const ids = (answer: { body: { scans: { id: string }[] } }) => answer.body.scans.map(({ id }) => id);

/** The documented scan, and 141 before it, one a minute. */
const NEWEST = Date.parse("2026-03-20T15:30:00Z");
const earlier = (minutes: number) => new Date(NEWEST - minutes * 60_000).toISOString();

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Hotel")).key;
  await makeCode(waymark, key, CONCIERGE);
  const documented = {
    id: "scan_01HABC",
    qpr_code_id: CONCIERGE.id,
    scanned_at: "2026-03-20T15:30:00Z",
    country: "US",
    region: "CA",
    city: "San Francisco",
    device: "mobile",
    conversation_started: true,
    conversation_messages: 6,
  };
  const others = Array.from({ length: 141 }, (_, index) => ({
    id: `scan_${String(index + 1).padStart(3, "0")}`,
    short_id: "hc9m3r",
    scanned_at: earlier(index + 1),
  }));
  const sent = await sendScans(waymark, key, [documented, ...others]);
  expect([sent.status, sent.body]).toEqual([200, { accepted: 142, rejected: [] }]);
});
afterAll(() => waymark?.stop());

const DOCUMENTED = {
  id: "scan_01HABC",
  qpr_code_id: "qpr_01HXYZ789ABC",
  short_id: "hc9m3r",
  scanned_at: "2026-03-20T15:30:00Z",
  country: "US",
  region: "CA",
  city: "San Francisco",
  device: "mobile",
  conversation_started: true,
  conversation_messages: 6,
  metadata: {},
};

describe("the documented list", () => {
  it("is answered word for word, but for the other scans", async () => {
    const { status, body } = await get("/v1/scans?qpr_code_id=qpr_01HXYZ789ABC&limit=20");
    expect(status).toBe(200);
    expect(Object.keys(body)).toEqual(["scans", "total", "limit", "offset"]);
    expect(body).toMatchObject({ total: 142, limit: 20, offset: 0 });
    expect(body.scans).toHaveLength(20);
    expect(body.scans[0]).toStrictEqual(DOCUMENTED);
    expect(Object.keys(body.scans[0])).toEqual(Object.keys(DOCUMENTED));
  });

  it("says null, and never leaves out, what is not known of a place", async () => {
    const { body } = await get("/v1/scans/scan_001");
    expect(body).toStrictEqual({
      id: "scan_001",
      qpr_code_id: CONCIERGE.id,
      short_id: "hc9m3r",
      scanned_at: "2026-03-20T15:29:00Z",
      country: null,
      region: null,
      city: null,
      device: "unknown",
      conversation_started: false,
      conversation_messages: 0,
      metadata: {},
    });
  });

  it("has 50 scans when no limit is given, newest first", async () => {
    const { body } = await get("/v1/scans");
    expect(body).toMatchObject({ total: 142, limit: 50, offset: 0 });
    expect(ids({ body })).toEqual([
      "scan_01HABC",
      ...Array.from({ length: 49 }, (_, i) => `scan_${String(i + 1).padStart(3, "0")}`),
    ]);
  });

  it("shows each scan once when it is paged through", async () => {
    const seen: string[] = [];
    for (let offset = 0; offset < 142; offset += 40) {
      const page = await get(`/v1/scans?limit=40&offset=${offset}`);
      expect(page.body).toMatchObject({ total: 142, limit: 40, offset });
      seen.push(...ids(page));
    }
    expect(new Set(seen).size).toBe(142);
    expect(seen).toHaveLength(142);
  });

  it("is empty beyond its end and still says the total", async () => {
    const { body } = await get("/v1/scans?offset=500");
    expect(body).toStrictEqual({ scans: [], total: 142, limit: 50, offset: 500 });
  });

  it("takes since and until as exclusive", async () => {
    const within = await get(`/v1/scans?since=${earlier(10)}&until=${earlier(7)}`);
    expect(ids(within)).toEqual(["scan_008", "scan_009"]);
    expect(within.body.total).toBe(2);
    expect((await get(`/v1/scans?since=${earlier(0)}`)).body).toMatchObject({ scans: [], total: 0 });
    expect((await get(`/v1/scans?until=${earlier(141)}`)).body).toMatchObject({ scans: [], total: 0 });
    expect((await get(`/v1/scans?since=${earlier(3)}&limit=1`)).body).toMatchObject({ total: 3, limit: 1 });
  });

  it("takes a bare date as UTC midnight, and a time with an offset", async () => {
    expect((await get("/v1/scans?since=2026-03-21")).body.total).toBe(0);
    expect((await get("/v1/scans?since=2026-03-20")).body.total).toBe(142);
    expect((await get(`/v1/scans?since=${encodeURIComponent("2026-03-20T16:29:00+01:00")}`)).body.total).toBe(1);
  });

  it("is empty for a code that nobody has scanned or made", async () => {
    const { status, body } = await get("/v1/scans?qpr_code_id=qpr_unknown");
    expect([status, body]).toEqual([200, { scans: [], total: 0, limit: 50, offset: 0 }]);
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=201", "limit"],
    ["limit=-1", "limit"],
    ["limit=ten", "limit"],
    ["limit=1.5", "limit"],
    ["offset=-1", "offset"],
    ["since=yesterday", "since"],
    ["since=2026-03-20T15:30:00", "since"],
    ["until=2026-13-01", "until"],
    ["include_bots=perhaps", "include_bots"],
  ])("refuses %s and names it", async (query, field) => {
    const answer = await get(`/v1/scans?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.body).toMatchObject({
      type: "about:blank",
      title: "Bad Request",
      status: 400,
      code: "INVALID_FIELD",
    });
    expect(answer.body.detail).toContain(field);
    expect(answer.body.request_id).toBe(answer.headers.get("x-request-id"));
  });

  it("takes the limits themselves, and ignores what it does not know", async () => {
    expect((await get("/v1/scans?limit=200&page=3&fields=id")).body.scans).toHaveLength(142);
    expect((await get("/v1/scans?limit=1")).body.scans).toHaveLength(1);
  });
});

it("knows scans that do not exist, and those of others, as unknown", async () => {
  const other = await waymark.workspace("Neighbour");
  for (const answer of [await get("/v1/scans/scan_nobody"), await get("/v1/scans/scan_01HABC", other.key)]) {
    expect(answer.status).toBe(404);
    expect(answer.body).toMatchObject({ title: "Not Found", status: 404, code: "SCAN_NOT_FOUND" });
  }
  expect((await get("/v1/scans", other.key)).body).toMatchObject({ scans: [], total: 0 });
});

it("shows a scan without further ado a moment after it was taken", async () => {
  const { key: own } = await waymark.workspace("Moment");
  const code = await makeCode(waymark, own, {});
  const begun = Date.now();
  await waymark.call("POST", "/v1/scans", { key: own, body: { scans: [{ id: "now", qpr_code_id: code.id }] } });
  const { body } = await eventually(async () => {
    const answer = await get("/v1/scans", own);
    expect(answer.body.total).toBe(1);
    return answer;
  });
  const at = Date.parse(body.scans[0].scanned_at);
  expect(at).toBeGreaterThanOrEqual(begun - 1000);
  expect(at).toBeLessThanOrEqual(Date.now());
});

describe("what a scan is told by", () => {
  const scanned = async (scan: Record<string, unknown>, code: Record<string, unknown> = {}) => {
    const made = await makeCode(waymark, key, code);
    await sendScans(waymark, key, [{ qpr_code_id: made.id, ...scan }]);
    const { body } = await get(`/v1/scans?qpr_code_id=${made.id}&include_bots=true`);
    return body.scans[0];
  };

  it("finds the device from the user agent, unless it is given", async () => {
    expect((await scanned({ user_agent: PHONE })).device).toBe("mobile");
    expect((await scanned({ user_agent: PHONE, device: "tablet" })).device).toBe("tablet");
    expect((await scanned({})).device).toBe("unknown");
  });

  it("finds the place from the address, unless one is given", async () => {
    expect((await scanned({ ip: "8.8.8.8" })).country).toBe("US");
    const given = await scanned({ ip: "8.8.8.8", country: "fr" });
    expect([given.country, given.region, given.city]).toEqual(["FR", null, null]);
  });

  it("lays its metadata over the code's, as deep as it comes", async () => {
    const scan = await scanned(
      { metadata: { room: "12", deep: { list: [1, null, "ü"] } } },
      { metadata: { room: "all", floor: 3 } },
    );
    expect(scan.metadata).toStrictEqual({ room: "12", floor: 3, deep: { list: [1, null, "ü"] } });
  });

  it("makes an id with the prefix of a scan", async () => {
    expect((await scanned({})).id).toMatch(/^scan_[0-9A-Za-z]+$/);
  });

  it("takes messages as a conversation that was opened", async () => {
    expect(await scanned({ conversation_messages: 2 })).toMatchObject({
      conversation_started: true,
      conversation_messages: 2,
    });
  });
});

describe("scans of programs", () => {
  it("are hidden unless they are asked for, and then say why", async () => {
    const code = await makeCode(waymark, key, {});
    await sendScans(waymark, key, [
      { id: "bot-1", qpr_code_id: code.id, user_agent: "Mozilla/5.0 (compatible; Googlebot/2.1)" },
      { id: "human-1", qpr_code_id: code.id },
    ]);
    const people = await get(`/v1/scans?qpr_code_id=${code.id}`);
    expect([ids(people), people.body.total]).toEqual([["human-1"], 1]);
    expect(people.body.scans[0]).not.toHaveProperty("filtered");
    const all = await get(`/v1/scans?qpr_code_id=${code.id}&include_bots=true`);
    expect([ids(all).sort(), all.body.total]).toEqual([["bot-1", "human-1"], 2]);
    expect((await get("/v1/scans/bot-1")).body.filtered).toBe("isbot");
    expect((await get(`/v1/qpr-codes/${code.id}`)).body.scans_total).toBe(1);
  });
});
