import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { spans as known } from "#runtime/telemetry.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { HOUSE_KEYS, MEDICAL, makeTag } from "./house-keys.ts";
import { PHONE } from "./phones.ts";

const isMany = process.env.WAYMARK_TEST_WAY === "processes";
const IP = "203.0.113.77";
const MESSAGE = "I found them under the third bench";

let receiver: OtlpReceiver;
let waymark: Waymark;
let key: string;
let encryptedId: string;

beforeAll(async () => {
  receiver = await startOtlpReceiver();
  waymark = await startWaymark({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8",
  });
  key = (await waymark.workspace("Traced")).key;
  await makeCode(waymark, key, { id: "traced", short_id: "traced", destination: "https://example.com" });
  await post("/api/v1/programs", { id: "prog-1", name: "P", landing_url: "https://example.com" });
  await post("/api/v1/users", {
    ...{ id: "user-1", first_name: "A", last_name: "B", email: "ada@example.com" },
    program_id: "prog-1",
  });
  await post("/api/v1/posters", { id: "poster-1", program_id: "prog-1", student_id: "user-1" });
  const tag = await makeTag(waymark, key, { ...HOUSE_KEYS, tagType: "MEDICAL" });
  encryptedId = tag.encryptedId;
  await waymark.call("PUT", `/api/v1/tags/${tag.id}/emergency`, { key, body: MEDICAL });
  await post("/v3/experiences", { id: "exp-1", name: "E", value: "e" });
  await post("/v3/touchpoints", { id: "tp-1", experienceId: "exp-1", name: "T", value: "t" });
});
afterAll(async () => {
  await waymark?.stop();
  await receiver.close();
});

const post = (path: string, body: unknown) => waymark.call("POST", path, { key, body });

/** What a request of an API leads to. */
interface Way {
  method: string;
  path: () => string;
  body?: unknown;
  isPublic?: boolean;
  /** Name of the first span when it is not that of the RPC. */
  root?: string;
  service: string;
  rpc: string;
  /** Projections at the end of its trace. */
  projections: string[];
}

const WAYS: Record<string, Way> = {
  "Scans, a scan": {
    ...{ method: "POST", path: () => "/v1/scans", body: { scans: [{ qpr_code_id: "traced" }] } },
    ...{ service: "waymark.scans.v1.ScanService", rpc: "CreateScans", projections: ["scans"] },
  },
  "Scans, a redirect": {
    ...{ method: "GET", path: () => "/s/traced", isPublic: true, root: "redirect" },
    ...{ service: "waymark.scans.v1.IntakeService", rpc: "RecordTouches", projections: ["scans"] },
  },
  Impressions: {
    ...{ method: "POST", path: () => "/api/v1/impressions", body: { impressions: [{ poster_id: "poster-1" }] } },
    ...{ service: "waymark.impressions.v1.ImpressionService", rpc: "RecordImpressions" },
    projections: ["impressions", "scans"],
  },
  Tags: {
    ...{ method: "GET", path: () => `/api/v1/scan/${encryptedId}`, isPublic: true },
    ...{ service: "waymark.tags.v1.ScanService", rpc: "ScanTag", projections: ["scans", "tags"] },
  },
  "Tags, a message": {
    ...{ method: "POST", path: () => `/api/v1/scan/${encryptedId}/contact`, body: { message: MESSAGE } },
    ...{ isPublic: true, service: "waymark.tags.v1.ScanService", rpc: "ContactOwner", projections: [] },
  },
  "Tags, an emergency": {
    ...{ method: "GET", path: () => `/api/v1/scan/${encryptedId}/emergency`, isPublic: true },
    ...{ service: "waymark.emergency.v1.EmergencyService", rpc: "ReadEmergency", projections: [] },
  },
  Analytics: {
    ...{ method: "GET", path: () => "/analytics/v1/metrics/events" },
    ...{ service: "waymark.analytics.v1.AnalyticsService", rpc: "GetEventMetrics", projections: [] },
  },
  Touchpoints: {
    ...{ method: "POST", path: () => "/v3/touchpoint/scans", body: { scans: [{ touchpointId: "tp-1", userId: "u" }] } },
    ...{ service: "waymark.touchpoints.v1.TouchpointService", rpc: "RecordTouchpointScans" },
    projections: ["scans", "touchpoints"],
  },
};

describe.each(Object.entries(WAYS))("a request of %s", (_name, way) => {
  let trace: ReceivedSpan[];
  const parent = randomBytes(8).toString("hex");
  const traceId = randomBytes(16).toString("hex");

  beforeAll(async () => {
    const headers = { traceparent: `00-${traceId}-${parent}-01`, "user-agent": PHONE, "x-forwarded-for": IP };
    const given = { headers, ...(way.isPublic ? {} : { key }), ...(way.body === undefined ? {} : { body: way.body }) };
    const answer = await waymark.call(way.method, way.path(), given);
    expect([answer.status < 400, answer.text]).toEqual([true, expect.any(String)]);
    await waymark.idle();
    trace = await eventually(() => {
      const found = receiver.spans().filter((span) => span.traceId === traceId);
      const projections = new Set(found.map(({ attributes }) => attributes["waymark.projection"]));
      expect([...projections].filter((name) => name !== undefined).sort()).toEqual(way.projections);
      // Each process sends its spans when it likes: the trace is here when no span lacks its parent.
      const ids = new Set([parent, ...found.map(({ spanId }) => spanId)]);
      expect(found.filter(({ parentSpanId = "" }) => !ids.has(parentSpanId))).toEqual([]);
      const named = found.filter(({ attributes }) => attributes["rpc.method"] === way.rpc);
      expect(named.some(({ name }) => name === "rpc.server")).toBe(true);
      if (way.projections.length > 0) expect(found.some(({ name }) => name === "log.append")).toBe(true);
      return found;
    });
  });

  it("goes on with the caller's trace, from the HTTP request to the end, without a gap", () => {
    const ids = new Set([parent, ...trace.map(({ spanId }) => spanId)]);
    expect(trace.filter(({ parentSpanId = "" }) => !ids.has(parentSpanId))).toEqual([]);
    const roots = trace.filter(({ parentSpanId }) => parentSpanId === parent);
    const name = way.root ?? `${way.service}.${way.rpc}`;
    expect(roots).toMatchObject([{ name, kind: 2, attributes: { "http.request.method": way.method } }]);
    expect(roots[0]?.attributes["http.response.status_code"]).toBeGreaterThanOrEqual(200);
  });

  it("shows the call and where it was answered", () => {
    const { service, rpc: method } = way;
    const named = trace.filter(({ attributes }) => attributes["rpc.method"] === method);
    const served = named.find(({ name }) => name === "rpc.server");
    expect(served?.attributes).toEqual({ "rpc.system": "grpc", "rpc.service": service, "rpc.method": method });
    const asked = trace.find(({ spanId }) => spanId === served?.parentSpanId);
    if (!isMany) return;
    expect(asked).toMatchObject({ name: "rpc.client", kind: 3, attributes: { "rpc.method": method } });
    expect([asked?.service, served?.service]).toEqual([expect.any(String), service.split(".")[1]]);
  });

  it.runIf(way.projections.length > 0)("goes over the log to each projection", () => {
    const append = trace.find(({ name }) => name === "log.append");
    expect(append).toMatchObject({ kind: 4, attributes: { "messaging.operation.type": "send" } });
    for (const name of way.projections) {
      const step = trace.find(({ attributes }) => attributes["waymark.projection"] === name);
      expect(step).toMatchObject({ name: "log.project", kind: 5, service: isMany ? name : expect.any(String) });
      expect(step?.attributes["waymark.log.position"]).toBeGreaterThan(0);
    }
  });
});

describe("no span", () => {
  it("has an attribute that the table does not name", () => {
    const named = new Set<string>(Object.values(known).flatMap(({ attributes }) => attributes));
    const found = new Set(receiver.spans().flatMap(({ attributes }) => Object.keys(attributes)));
    expect([...found].filter((name) => !named.has(name))).toEqual([]);
    expect(found.size).toBeGreaterThan(8);
  });

  it("tells an address, a key, an id on a tag, a message, a name or a medical word", () => {
    const sent = receiver.bodies();
    const words = [IP, key, encryptedId, MESSAGE, HOUSE_KEYS.ownerName, HOUSE_KEYS.itemName, "ada@example.com"];
    const medical = [...MEDICAL.conditions, ...MEDICAL.allergies, ...MEDICAL.medications, MEDICAL.physician];
    for (const word of [...words, ...medical, PHONE]) expect(sent).not.toContain(word);
    expect(sent).toContain("rpc.server");
  });
});
