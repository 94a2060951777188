import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { eventually } from "./eventually.ts";
import { HOUSE_KEYS } from "./house-keys.ts";

let folder: string;
let waymark: Waymark;

const open = (demo = "on", on = folder) => startWaymark({ WAYMARK_DEMO: demo, WAYMARK_DATA: on });
const keyIn = (said: readonly string[]) => /demo key\s+(wmk_\S+)/.exec(said.join("\n"))?.[1];

/** The curl lines that were printed, as requests. */
function curls(said: readonly string[]): { url: string; headers: Record<string, string> }[] {
  return said.flatMap((line) => {
    const match = /^\s*curl "([^"]+)"(?: -H "([\w-]+): ([^"]+)")?$/.exec(line);
    if (match === null) return [];
    const [, url = "", name, value = ""] = match;
    return [{ url, headers: name === undefined ? {} : { [name]: value } }];
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-demo-"));
  waymark = await open();
});
afterAll(async () => {
  await waymark?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const get = (path: string) => waymark.call("GET", path, { key: keyIn(waymark.said) });

describe("the first start on an empty folder", () => {
  it("prints a key and five curl lines that work as they are", async () => {
    expect(keyIn(waymark.said)).toMatch(/^wmk_/);
    const lines = curls(waymark.said);
    expect(lines).toHaveLength(5);
    const bodies = await Promise.all(
      lines.map(async ({ url, headers }) => {
        expect(url.startsWith(`${waymark.url}/`)).toBe(true);
        return eventually(async () => {
          const response = await fetch(url, { headers });
          const body = await response.json();
          expect([url, response.status]).toEqual([url, 200]);
          expect(JSON.stringify(body)).not.toMatch(/"(?:scans|impressions|touchpoints)":\[\]|"totalEvents":0/);
          return body;
        });
      }),
    );
    expect(bodies).toMatchObject([
      { limit: 2, total: expect.any(Number) },
      { impressions: [{ program_id: "prog_123abc" }, { program_id: "prog_123abc" }] },
      { success: true, data: { itemName: "House Keys" } },
      { totalEvents: expect.any(Number) },
      { statusCode: 200, data: { totalTouchpoints: 2 } },
    ]);
  });

  it("has the documented objects", async () => {
    expect((await get("/v1/scans/scan_01HABC")).body).toStrictEqual({
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
    });
    expect((await get("/api/v1/impressions/imp_123abc")).body).toMatchObject({
      id: "imp_123abc",
      poster_id: "poster_123abc",
      program_id: "prog_123abc",
      student_id: "user_123abc",
      scanned_at: "2024-01-15T10:30:00Z",
      ip_address: "192.168.1.1",
      metadata: { device_type: "mobile", location: "campus_center" },
    });
    const { id: _id, reward, ...shown } = HOUSE_KEYS;
    const tag = curls(waymark.said)[2]?.url as string;
    const { data } = (await (await fetch(tag)).json()) as { data: object };
    expect(data).toStrictEqual({ ...shown, tagId: "tag_abc123", reward: reward.amount, emergencyAvailable: false });
    const tags = await get("/api/v1/tags");
    const band = tags.body.data.find(({ tagType }: { tagType: string }) => tagType === "MEDICAL");
    const emergency = await waymark.call("GET", `/api/v1/scan/${band.encryptedId}/emergency`);
    expect(emergency.body.data).toMatchObject({ bloodType: "O+", allergies: ["Penicillin", "Peanuts"] });
    const metrics = await get("/v3/touchpoint/metrics?metricsType=EXPERIENCE&experienceId=experience-demo");
    expect(metrics.body.data.touchpoints).toMatchObject([
      { id: "tp-1", name: "Entry Scan", value: "entry_scan" },
      { id: "tp-2", name: "Exit Scan", value: "exit_scan" },
    ]);
  });

  it("has some weeks of history that says that it is invented", async () => {
    const { body } = await get("/v1/qpr-codes/qpr_01HXYZ789ABC/analytics?period=30d");
    const busy = body.timeseries.filter(({ scans }: { scans: number }) => scans > 0);
    expect(busy.length).toBeGreaterThanOrEqual(21);
    expect(body.scans_total).toBeGreaterThan(body.scans_unique_devices);
    const scans = await get("/v1/scans?limit=200");
    for (const { id, metadata } of scans.body.scans)
      expect([id, metadata]).toEqual([id, id === "scan_01HABC" ? {} : { demo: true }]);
    const ledger = await get("/waymark/v1/ledger");
    expect(ledger.body.total).toMatchObject({ rejected: 0, shed: 0, pending: 0, duplicate: 0, balanced: true });
  });

  it("makes a scan of a person one more", async () => {
    const total = async () => (await get("/v1/qpr-codes/qpr_01HXYZ789ABC")).body.scans_total;
    const was = await total();
    const answer = await waymark.call("GET", "/s/hc9m3r", { headers: { "user-agent": "" } });
    expect(answer.status).toBe(302);
    await eventually(async () => expect(await total()).toBe(was + 1));
  });
});

describe("the second start on the same folder", () => {
  const PATHS = [
    "/v1/qpr-codes",
    "/v1/scans?limit=1&include_bots=true",
    "/api/v1/impressions?limit=1",
    "/api/v1/referrals",
    "/api/v1/earnings",
    "/api/v1/tags",
    "/waymark/v1/ledger",
    "/v3/touchpoint/metrics?metricsType=EXPERIENCE&experienceId=experience-demo",
    "/analytics/v1/metrics/events",
    "/analytics/v1/visitors?pageSize=1",
  ];
  const counts = async () => {
    await eventually(async () => {
      const [scans, events] = [await get("/v1/scans?limit=1"), await get("/analytics/v1/metrics/events")];
      expect(events.body.totalEvents).toBe(scans.body.total);
    });
    const answers = await Promise.all(PATHS.map(get));
    // Addresses hold the port, which is another at each start; key use is noted by the minute.
    return answers.map(({ status, text }) => [status, text.replace(/http:\/\/127\.0\.0\.1:\d+/g, "")]);
  };

  it("prints the same key and seeds nothing twice, with and without asking for a demo", async () => {
    const [key, was] = [keyIn(waymark.said), await counts()];
    for (const demo of ["on", "off"]) {
      await waymark.stop();
      waymark = await open(demo);
      expect(keyIn(waymark.said)).toBe(key);
      expect(curls(waymark.said)).toHaveLength(5);
      expect(await counts()).toStrictEqual(was);
    }
  });
});

it("a folder that was in use without a demo gets none later", async () => {
  const used = mkdtempSync(join(tmpdir(), "waymark-used-"));
  try {
    const first = await open("off", used);
    expect(first.said.join("\n")).not.toContain("curl");
    await first.workspace("Real work");
    await first.stop();
    const second = await open("on", used);
    expect(keyIn(second.said)).toBeUndefined();
    await second.stop();
  } finally {
    rmSync(used, { recursive: true, force: true });
  }
});
