import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, type SentScan, sendScans } from "./campaign.ts";
import { clearOfMidnight, dateOf, dayBefore, eventually } from "./eventually.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;
let menu: { id: string; short_id: string };
let poster: { id: string; short_id: string };

const get = (path: string, by = key) => waymark.call("GET", `/analytics/v1${path}`, { key: by });
const ask = (path: string, body: unknown, by = key) =>
  waymark.call("POST", `/analytics/v1/analytics/${path}`, { key: by, body });
const at = (daysAgo: number, time: string) => `${dateOf(dayBefore(daysAgo))}T${time}Z`;
const door = (shortId: string, userAgent = PHONE) =>
  waymark.call("GET", `/s/${shortId}`, { headers: { "user-agent": userAgent } });

/** The answer once it matches. */
const settled = (path: string, body: unknown, wanted: object) =>
  eventually(async () => {
    const answer = await ask(path, body);
    expect(answer.body).toMatchObject(wanted);
    return answer.body;
  });

beforeAll(async () => {
  await clearOfMidnight();
  waymark = await startWaymark();
  const body = { name: "Aggregates", ownerEmail: "o@example.com" };
  const made = await waymark.call("POST", "/waymark/v1/workspaces", { key: ADMIN_KEY, body });
  key = made.body.secret;
  const destination = "https://example.com";
  menu = await makeCode(waymark, key, { name: "Menu", destination, tags: ["shop", "north"] });
  poster = await makeCode(waymark, key, { name: "Poster", destination, tags: ["shop"] });
  const scan = (id: string, more: Partial<SentScan>): SentScan => ({
    id,
    qpr_code_id: menu.id,
    device: "mobile",
    ...more,
  });
  const sent = await sendScans(waymark, key, [
    scan("a1", { device_id: "a", country: "DE", scanned_at: at(9, "12:00:00") }),
    scan("a2", { device_id: "a", country: "DE", scanned_at: at(2, "23:30:00"), conversation_started: true }),
    scan("b1", {
      device_id: "b",
      country: "FR",
      scanned_at: at(2, "10:00:00"),
      qpr_code_id: poster.id,
      device: "desktop",
    }),
    scan("x1", { scanned_at: at(1, "10:00:00") }),
  ]);
  expect(sent.body.rejected).toEqual([]);
  await settled("breakdown", {}, { total: 4 });
  await settled("campaigns", { tag: "north" }, { total: 3 });
}, 60_000);
afterAll(() => waymark?.stop());

describe("the vendor's shapes", () => {
  it("of a breakdown, places, devices and hours, the unknown a member", async () => {
    expect((await ask("breakdown", { dimension: "country" })).body).toStrictEqual({
      data: [
        { code: "DE", label: "DE", eventCount: 2, percentage: 50, uniqueVisitors: 1 },
        { code: "", label: "Unknown", eventCount: 1, percentage: 25, uniqueVisitors: 0 },
        { code: "FR", label: "FR", eventCount: 1, percentage: 25, uniqueVisitors: 1 },
      ],
      total: 4,
    });
    expect((await ask("geo", { groupBy: "country", limit: 1 })).body).toStrictEqual({
      data: [{ location: "DE", eventCount: 2, percentage: 50 }],
      totalEvents: 4,
    });
    expect((await ask("devices", { linkId: poster.id })).body).toStrictEqual({
      data: [{ deviceType: "DEVICE_TYPE_DESKTOP", eventCount: 1, percentage: 100 }],
      totalEvents: 1,
    });
    const { data, totalEvents } = (await ask("hours", { timezone: "Asia/Kathmandu" })).body;
    const hours = data.filter(({ eventCount }: { eventCount: number }) => eventCount > 0);
    expect([totalEvents, data.length, hours]).toEqual([
      4,
      24,
      [
        { hour: 5, eventCount: 1 },
        { hour: 15, eventCount: 2 },
        { hour: 17, eventCount: 1 },
      ],
    ]);
  });

  it("of series, visitors, top links and a funnel, whose numbers are texts", async () => {
    const range = { startDate: at(2, "00:00:00"), endDate: at(1, "23:59:59.999"), intervalInMinutes: 1440 };
    const [two, one] = [at(2, "00:00:00.000"), at(1, "00:00:00.000")];
    const grouped = { ...range, groupBy: "GROUP_BY_DIMENSION_DEVICE_TYPE", limit: 1 };
    const points = [
      { timestamp: two, value: 1 },
      { timestamp: one, value: 1 },
    ];
    expect((await ask("timeseries", grouped)).body).toStrictEqual({
      series: [{ label: "DEVICE_TYPE_MOBILE", points }],
      totalEvents: 3,
    });
    expect((await ask("visitors", range)).body).toStrictEqual({
      data: [
        { timestamp: two, newVisitorCount: 1, returningVisitorCount: 1 },
        { timestamp: one, newVisitorCount: 0, returningVisitorCount: 0 },
      ],
      totalNew: 1,
      totalReturning: 1,
    });
    expect((await ask("top-links", { limit: 1 })).body).toMatchObject({
      data: [{ name: "Menu", shortlink: menu.short_id, eventCount: 3, uniqueVisitors: 1 }],
      totalEvents: 4,
    });
    const { body } = await ask("funnel", { linkId: menu.id });
    expect(body).toMatchObject({ entryVisits: "3", completionRate: 33.33 });
    expect(body.steps.map((step: Record<string, unknown>) => [step.stepKind, step.visits, step.occurrences])).toEqual([
      ["scan", "3", "3"],
      ["redirect", "0", "0"],
      ["conversation", "1", "1"],
      ["identify", "0", "0"],
    ]);
  });

  it("of the workspace, the days of a month, and what happened at an event", async () => {
    expect((await get("/metrics/workspace")).body).toMatchObject({ totalEvents: 4, totalLinks: 2, totalMembers: 1 });
    expect((await get("/metrics/workspace?explain=true")).body.explain).toMatchObject({ considered: "4" });
    const month = at(2, "23:30:00").slice(0, 7);
    const days = [at(9, ""), at(2, ""), at(1, "")].filter((day) => day.startsWith(month));
    const { body } = await get(`/metrics/event-days?month=${month}&timezone=UTC`);
    expect(body).toEqual({ days: days.map((day) => Number(day.slice(8, 10))) });
    expect((await get("/events/a1/traces")).body).toEqual({ traces: [] });
    expect((await get("/events/nobody/traces")).status).toBe(404);
    expect((await get("/metrics/events?tag=north&explain=true")).body).toMatchObject({
      totalEvents: 3,
      explain: { considered: "3", withoutDevice: "1" },
    });
  });
});

it("campaigns count a code with several tags in each, and tell who converted", async () => {
  const { body } = await ask("campaigns", {});
  expect(body).toMatchObject({ total: 4, totalVisitors: 2 });
  expect(
    body.data.map((row: Record<string, unknown>) => [row.tag, row.links, row.eventCount, row.visitors, row.leads]),
  ).toEqual([
    ["shop", 2, 4, 2, 1],
    ["north", 1, 3, 1, 1],
  ]);
  expect(body.data[1]).toMatchObject({ newVisitors: 1, returningVisitors: 0, conversionRate: 100, percentage: 75 });
});

it("compares with the time before, and with the same days of earlier weeks", async () => {
  const range = { startDate: at(6, "00:00:00"), endDate: at(0, "23:59:59.999"), timezone: "UTC" };
  const { body } = await ask("compare", { ...range, against: "PREVIOUS", dimension: "country" });
  expect(body).toMatchObject({
    current: { events: 3, visitors: 2, newVisitors: 1, leads: 1 },
    previous: { events: 1, visitors: 1, newVisitors: 1 },
    changePct: { events: 200, visitors: 100, newVisitors: 0 },
    previousPeriods: [{ startDate: at(13, "00:00:00.000") }],
  });
  expect(body.members.map(({ code }: { code: string }) => code).toSorted()).toEqual(["", "DE", "FR"]);
  const weeks = await ask("compare", { ...range, against: "SAME_WEEKDAYS", weeks: 2 });
  expect(weeks.body).toMatchObject({ previous: { events: 0.5 }, changePct: { events: 500 } });
});

it("quality tells redirects, pages of paused codes, programs and refusals", async () => {
  const code = await makeCode(waymark, key, { name: "Door", destination: "https://example.com/in", tags: ["door"] });
  const failed = (wanted: object) => settled("quality", { linkId: code.id }, wanted);
  expect((await door(code.short_id)).status).toBe(302);
  await door(code.short_id, "Googlebot/2.1");
  await failed({ total: 2, all: { scans: 2, redirected: 1, failed: {}, filtered: { isbot: 1 }, successRate: 100 } });
  await waymark.call("PATCH", `/v1/qpr-codes/${code.id}`, { key, body: { status: "paused" } });
  await settled("quality", { tag: "door" }, { data: [{ linkId: code.id, status: "paused", scans: 2 }] });
  await eventually(async () => expect((await door(code.short_id)).status).toBe(410));
  const body = await failed({ all: { redirected: 1, failed: { paused: 1 }, successRate: 50 } });
  expect(body.all.p50Ms).toBeGreaterThan(0);
  expect(body.data[0].p95Ms).toBe(body.all.p95Ms);
  expect(
    body.routes.map((route: Record<string, unknown>) => [route.destination, route.scans, route.percentage]),
  ).toEqual([
    ["", 1, 50],
    ["https://example.com/in", 1, 50],
  ]);
  await sendScans(waymark, key, [{ id: "r1", qpr_code_id: "nobody" }]);
  await settled("quality", {}, { rejected: { total: 1, reasons: { CODE_NOT_FOUND: 1 } } });
  await waymark.call("DELETE", `/v1/qpr-codes/${code.id}`, { key });
  await settled("quality", { linkId: code.id }, { data: [{ status: "deleted" }], all: { failed: { paused: 1 } } });
  expect((await door(code.short_id)).status).toBe(410);
  await settled("quality", {}, { rejected: { total: 2, reasons: { CODE_NOT_FOUND: 2 } } });
});

it("needs its scope, sees its own workspace, and refuses what is unknown", async () => {
  const other = (await waymark.workspace("Elsewhere")).key;
  expect((await ask("breakdown", {}, other)).body).toEqual({ data: [], total: 0 });
  expect((await ask("quality", { linkId: menu.id }, other)).body.total).toBe(0);
  const made = await waymark.call("POST", "/waymark/v1/keys", { key, body: { name: "K", scopes: ["codes:read"] } });
  for (const path of ["campaigns", "quality", "compare", "breakdown"])
    expect((await ask(path, {}, made.body.secret)).status).toBe(403);
  const refused = await ask("breakdown", { dimension: "colour" });
  expect([refused.status, refused.body.error.message]).toEqual([
    400,
    expect.stringContaining("country, city, deviceType"),
  ]);
  expect((await ask("timeseries", { groupBy: "GROUP_BY_DIMENSION_COLOUR" })).status).toBe(400);
  const reader = await waymark.call("POST", "/waymark/v1/keys", {
    key,
    body: { name: "R", scopes: ["analytics:read"] },
  });
  for (const path of ["quality", "campaigns"]) expect((await ask(path, {}, reader.body.secret)).status).toBe(200);
  expect((await get("/metrics/workspace", reader.body.secret)).body).toMatchObject({ totalMembers: 1 });
});
