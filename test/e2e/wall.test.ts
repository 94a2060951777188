import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { MEDICAL, makeTag } from "./house-keys.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });
const headers = { "user-agent": PHONE };

/** One touch of each purpose, all of the same phone; the names are what must not cross. */
beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Wall")).key;
  const code = await makeCode(waymark, key, { id: "code-1", short_id: "wall", destination: "https://example.com" });
  await waymark.call("GET", `/s/${code.short_id}`, { headers });
  await send("POST", "/api/v1/programs", { id: "prog-1", name: "P", landing_url: "https://example.com" });
  const user = { id: "user-1", first_name: "A", last_name: "B", email: "a@example.com", program_id: "prog-1" };
  await send("POST", "/api/v1/users", user);
  const poster = await send("POST", "/api/v1/posters", { id: "poster-1", program_id: "prog-1", student_id: "user-1" });
  await waymark.call("GET", new URL(poster.body.scan_url).pathname, { headers });
  const lost = await makeTag(waymark, key, { id: "lost-1", status: "LOST" });
  await waymark.call("GET", `/api/v1/scan/${lost.encryptedId}`, { headers });
  const band = await makeTag(waymark, key, { id: "band-1", tagType: "MEDICAL" });
  await send("PUT", "/api/v1/tags/band-1/emergency", MEDICAL);
  await waymark.call("GET", `/api/v1/scan/${band.encryptedId}`, { headers });
  await send("POST", "/v3/experiences", { id: "exp-1", name: "E", value: "e" });
  await send("POST", "/v3/touchpoints", { id: "tp-1", experienceId: "exp-1", name: "T", value: "t" });
  await send("POST", "/v3/touchpoint/scans", { scans: [{ touchpointId: "tp-1", userId: "visitor-1" }] });
  await eventually(async () =>
    expect((await send("GET", "/waymark/v1/ledger")).body.total).toMatchObject({
      counted: 5,
      pending: 0,
      balanced: true,
    }),
  );
  await eventually(async () => expect((await send("GET", "/analytics/v1/events")).body.json.totalCount).not.toBe("0"));
});
afterAll(() => waymark?.stop());

/** What only one product may know, by the words that would tell it. */
const WORDS = ["poster-1", "lost-1", "band-1", "tp-1", "visitor-1", "user-1"];

describe("a touch of one purpose", () => {
  it.each([
    ["/v1/scans?include_bots=true", "total", 1],
    ["/v1/qpr-codes", "total", 1],
    ["/api/v1/impressions", "total", 1],
    ["/analytics/v1/events?include=device&include=link&include=visitor", "json.totalCount", "1"],
    ["/analytics/v1/visitors?include=devices&include=events&include=links", "json.totalCount", "1"],
    ["/analytics/v1/metrics/events", "totalEvents", 1],
    ["/analytics/v1/links", "totalCount", "1"],
    ["/api/v1/tags/lost-1/scans", "meta.total", 1],
  ])("shows in its own product alone: %s", async (path, field, count) => {
    const { body } = await send("GET", path);
    const value = field.split(".").reduce((at, name) => at?.[name], body);
    expect(value).toBe(count);
  });

  it.each([
    "/v1/scans?include_bots=true",
    "/v1/qpr-codes",
    "/analytics/v1/events",
    "/analytics/v1/visitors?include=events&include=links",
    "/analytics/v1/links",
  ])("leaves no word in marketing: %s", async (path) => {
    const { text } = await send("GET", path);
    for (const word of WORDS) expect([word, text.includes(`"${word}"`)]).toEqual([word, false]);
  });

  it.each(["lost-1", "band-1", "tp-1", "poster-1"])("cannot be asked for by name in another: %s", async (id) => {
    expect((await send("GET", `/v1/scans?qpr_code_id=${id}&include_bots=true`)).body.total).toBe(0);
    expect((await send("GET", `/v1/qpr-codes/${id}/analytics`)).status).toBe(404);
    expect((await send("GET", `/v1/qpr-codes/${id}`)).status).toBe(404);
    expect((await send("GET", `/analytics/v1/links/${id}`)).status).toBe(404);
    expect((await send("GET", `/analytics/v1/events?linkId=${id}`)).body.json.totalCount).toBe("0");
    expect((await send("GET", `/analytics/v1/visitors?linkId=${id}`)).body.json.totalCount).toBe("0");
    expect((await send("GET", `/analytics/v1/metrics/events?linkId=${id}`)).body.totalEvents).toBe(0);
    const range = { startDate: "2026-01-01", endDate: "2036-01-01", intervalInMinutes: 527_040, linkId: id };
    expect((await send("POST", "/analytics/v1/timeseries/events", range)).body.timeSeries.totalData).toBe(0);
    const sent = await send("POST", "/v1/scans", { scans: [{ qpr_code_id: id }] });
    expect(sent.body).toMatchObject({ accepted: 0, rejected: [{ code: "CODE_NOT_FOUND" }] });
  });

  it("cannot be reached under the id of another purpose's touch", async () => {
    const { body } = await send("GET", "/api/v1/tags/band-1/scans");
    expect(body.meta.total).toBe(1);
    for (const path of ["/v1/scans/", "/api/v1/impressions/"])
      expect((await send("GET", `${path}${body.data[0].id}`)).status).toBe(404);
    const visits = await send("POST", `/v1/scans/${body.data[0].id}/conversation`, { messages: 1 });
    expect(visits.status).toBe(404);
  });

  it("keeps its id for itself: the same id for another purpose counts nothing", async () => {
    await send("POST", "/v1/scans", { scans: [{ id: "shared-1", qpr_code_id: "code-1" }] });
    const again = await send("POST", "/v3/touchpoint/scans", {
      scans: [{ id: "shared-1", touchpointId: "tp-1", userId: "visitor-1" }],
    });
    expect(again.body.data.accepted).toBe(1);
    await waymark.idle();
    const { body } = await send("GET", "/v3/touchpoint/metrics?metricsType=TOUCHPOINT&touchpointId=tp-1");
    expect(body.data.touchpoints.totalVisits).toBe(1);
    expect((await send("GET", "/v1/scans/shared-1")).status).toBe(200);
  });
});
