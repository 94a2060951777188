import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, type SentScan, sendScans } from "./campaign.ts";
import { dateOf, dayBefore, eventually } from "./eventually.ts";
import { MILLIS } from "./house-keys.ts";

let waymark: Waymark;
let key: string;
let code: { id: string };
let total = 0;

const get = (path: string, by = key) => waymark.call("GET", `/analytics/v1${path}`, { key: by });
const post = (path: string, body: unknown, by = key) => waymark.call("POST", `/analytics/v1${path}`, { key: by, body });

beforeAll(async () => {
  waymark = await startWaymark();
  ({ key } = await waymark.workspace("Prediction"));
  code = await makeCode(waymark, key, { name: "Menu", destination: "https://example.com" });
  const scans = Array.from({ length: 42 }, (_, index) => index + 1).flatMap((daysAgo) =>
    Array.from({ length: 4 + (daysAgo % 7) }, (_, n): SentScan => {
      const scanned_at = `${dateOf(dayBefore(daysAgo))}T17:0${n % 10}:00Z`;
      return { id: `s${daysAgo}.${n}`, qpr_code_id: code.id, scanned_at, device_id: `d${n}`, device: "mobile" };
    }),
  );
  total = scans.length;
  for (let first = 0; first < total; first += 100) {
    const sent = await sendScans(waymark, key, scans.slice(first, first + 100));
    expect(sent.body.rejected).toEqual([]);
  }
  await eventually(async () => expect((await get("/events?pageSize=1")).body.json.totalCount).toBe(String(total)));
}, 60_000);
afterAll(() => waymark?.stop());

/** A key of the workspace with one scope. */
async function narrow(scope: string): Promise<string> {
  const made = await waymark.call("POST", "/waymark/v1/keys", { key, body: { name: scope, scopes: [scope] } });
  return made.body.secret;
}

describe("a forecast", () => {
  it("has each of the next days with an interval, and the error of its method", async () => {
    const { status, body } = await post("/analytics/forecast", { days: 8, linkId: code.id, explain: true });
    expect([status, body.timezone]).toEqual([200, "UTC"]);
    expect(body.method).toMatch(/^(SEASONAL_BASELINE|HOLT_WINTERS|LOG_HOLT_WINTERS)$/);
    expect(body.points.map(({ date }: { date: string }) => date)).toEqual(
      Array.from({ length: 8 }, (_, index) => dateOf(dayBefore(-index))),
    );
    for (const { expected, low, high } of body.points)
      expect([low <= expected, expected <= high, low >= 0]).toEqual([true, true, true]);
    expect(body.backtest).toMatchObject({ folds: 21, level: 0.8, baselineMae: 0, mae: 0, mape: 0, coverage: 1 });
    expect(body.history).toMatchObject({ days: 42, total: String(total), lastDate: dateOf(dayBefore(1)) });
    expect(body.bestTimes[0]).toMatchObject({ hour: 17 });
    expect(body.explain).toMatchObject({ considered: String(total), definition: "docs/analytics.md#forecast" });
  });

  it("of too little is refused with 422, which says what it needs", async () => {
    const { status, body } = await post("/analytics/forecast", { linkId: "nothing" });
    expect(status).toBe(422);
    expect(body.error).toMatchObject({ code: 422, message: expect.stringContaining("needs 28 complete days") });
    expect((await post("/analytics/best-time", { linkId: "nothing" })).status).toBe(422);
  });

  it("is refused when it is asked wrongly, or without the scope", async () => {
    const wrong = await post("/analytics/forecast", { days: 91 });
    expect([wrong.status, wrong.text]).toEqual([400, expect.stringContaining("days")]);
    expect((await post("/analytics/forecast", { timezone: "Mars/Olympus" })).status).toBe(400);
    const other = await narrow("codes:read");
    expect((await post("/analytics/forecast", {}, other)).status).toBe(403);
    expect((await post("/analytics/best-time", {}, other)).status).toBe(403);
  });
});

it("the best time is the hour of the scans, in the zone that is asked for", async () => {
  const { status, body } = await post("/analytics/best-time", { timezone: "Asia/Tokyo", limit: 3 });
  expect(status).toBe(200);
  expect(body.slots.map(({ hour }: { hour: number }) => hour)).toEqual([2, 2, 2]);
  expect(body).toMatchObject({ totalEvents: String(total), timezone: "Asia/Tokyo" });
});

describe("scores", () => {
  let event: { id: string; visitorId: string };
  beforeAll(async () => {
    [event] = (await get("/events?pageSize=1")).body.json.events;
  });

  it("of a visitor say what they are made of", async () => {
    const { status, body } = await get(`/visitors/${event.visitorId}/score`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ visitorId: event.visitorId, version: 0, computedAt: expect.stringMatching(MILLIS) });
    expect(body.parts.map(({ name }: { name: string }) => name)).toEqual([
      "engagementLevel",
      "profileFit",
      "recurringInterest",
      "recurringScans",
      "technologicalAptitude",
      "brandSupportiveness",
    ]);
    expect(body).not.toHaveProperty("conversionLikelihood");
    expect((await get("/visitors/vis_nobody/score")).status).toBe(404);
  });

  it("come with events and metrics, in the vendor's names", async () => {
    const { score } = (await get(`/visitors/${event.visitorId}/score`)).body;
    const [scored] = (await get("/events?pageSize=1&include=leadScore")).body.json.events;
    expect(scored.leadScore).toStrictEqual({
      leadScore: score,
      engagementLevel: expect.any(Number),
      profileFit: 0,
      recurringInterest: expect.any(Number),
      recurringScans: expect.any(Number),
      technologicalAptitude: 25,
      brandSupportiveness: 0,
    });
    const recorded = await get(`/links/${code.id}/lead-score/${event.id}`);
    expect(Object.keys(recorded.body)).toEqual([
      "leadScore",
      "recurringScans",
      "breakdown",
      "scoringContext",
      "scoringRationale",
    ]);
    expect(recorded.body.leadScore).toBeLessThanOrEqual(score);
    expect((await get("/metrics/events")).body.averageLeadScore).toBeGreaterThan(0);
    expect((await get(`/links/other/lead-score/${event.id}`)).status).toBe(404);
  });

  it("follow the weights that are set", async () => {
    const put = (body: unknown, by = key) => waymark.call("PUT", "/analytics/v1/scoring", { key: by, body });
    const { status, body } = await put({ weights: { technologicalAptitude: 2 } });
    expect([status, body.version, body.weights.technologicalAptitude]).toEqual([200, 1, 2]);
    expect((await get("/scoring")).body).toStrictEqual(body);
    expect((await get(`/visitors/${event.visitorId}/score`)).body).toMatchObject({ score: 25, version: 1 });
    expect((await put({ weights: {} })).status).toBe(400);
    expect((await put({ weights: { profileFit: 1 }, version: 0 })).status).toBe(409);
    expect((await put({ weights: { profileFit: 1 } }, await narrow("analytics:read"))).status).toBe(403);
  });

  it("are not shown without the scope", async () => {
    const reader = await narrow("analytics:read");
    expect((await get(`/visitors/${event.visitorId}/score`, reader)).status).toBe(403);
    expect((await get(`/links/${code.id}/lead-score/${event.id}`, reader)).status).toBe(403);
  });
});

it("a model without conversions to learn from is refused with 422, and listed with the reason", async () => {
  const { status, body } = await post("/scoring/models", { conversion: { conversation: true }, horizonDays: 7 });
  expect([status, body.error.message]).toEqual([422, expect.stringContaining("needs 50 visitors who converted")]);
  const [model] = (await get("/scoring/models")).body.models;
  expect(model).toMatchObject({ status: "REFUSED", conversion: { conversation: true } });
  expect((await get(`/scoring/models/${model.id}`)).body.model).toStrictEqual(model);
  expect((await get("/scoring/models/other")).status).toBe(404);
});
