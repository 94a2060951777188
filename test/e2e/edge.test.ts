import { gzipSync } from "node:zlib";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caller, startWaymark, type Waymark } from "../support/waymark.ts";

let waymark: Waymark;
let key: string;

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Edge")).key;
});
afterAll(() => waymark?.stop());

/** How each API says that something is wrong: the body of a refusal, by its status and word. */
const DIALECTS: [string, string, (status: number, word: string) => object][] = [
  [
    "scans",
    "/v1",
    (status, title) => ({
      type: "about:blank",
      title,
      status,
      detail: expect.any(String),
      code: expect.any(String),
      request_id: expect.any(String),
    }),
  ],
  ["tags", "/api/v1", (status) => ({ success: false, error: { code: tagCode(status), message: expect.any(String) } })],
  [
    "analytics",
    "/analytics/v1",
    (status) => ({ error: { code: status, codeType: expect.any(String), message: expect.any(String), details: [] } }),
  ],
  ["touchpoints", "/v3", (status) => ({ statusCode: status, message: expect.any(String) })],
  [
    "platform",
    "/waymark/v1",
    (status, title) => ({
      type: "about:blank",
      title,
      status,
      detail: expect.any(String),
      code: expect.any(String),
      requestId: expect.any(String),
    }),
  ],
];
const tagCode = (status: number) =>
  ({ 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE" })[status];

describe("in the words of its API", () => {
  it.each(DIALECTS)("%s: an unknown path is 404", async (_name, root, shape) => {
    for (const method of ["GET", "POST", "DELETE"]) {
      const answer = await waymark.call(method, `${root}/nowhere/at/all`, { key });
      expect([answer.status, answer.body]).toStrictEqual([404, shape(404, "Not Found")]);
      expect(answer.headers.get("x-request-id")).toBeTruthy();
    }
  });

  const known: Record<string, [string, string]> = {
    scans: ["/v1/scans", "GET, POST, HEAD, OPTIONS"],
    tags: ["/api/v1/tags", "GET, POST, HEAD, OPTIONS"],
    analytics: ["/analytics/v1/links", "GET, POST, HEAD, OPTIONS"],
    touchpoints: ["/v3/experiences", "GET, POST, HEAD, OPTIONS"],
    platform: ["/waymark/v1/keys", "GET, POST, HEAD, OPTIONS"],
  };

  it.each(DIALECTS)("%s: a wrong method is 405 with what is allowed", async (name, _root, shape) => {
    const [path, allowed] = known[name] as [string, string];
    const answer = await waymark.call("PATCH", path, { key, body: {} });
    expect([answer.status, answer.body]).toStrictEqual([405, shape(405, "Method Not Allowed")]);
    expect(answer.headers.get("allow")?.split(", ").sort()).toEqual(allowed.split(", ").sort());
  });

  it("impressions: a wrong method is 405, a known path with a bad id 404", async () => {
    const wrong = await waymark.call("DELETE", "/api/v1/impressions", { key });
    expect([wrong.status, wrong.body]).toStrictEqual([
      405,
      { error: "Method Not Allowed", message: expect.any(String) },
    ]);
    const missing = await waymark.call("GET", "/api/v1/posters/nobody", { key });
    expect([missing.status, missing.body]).toStrictEqual([404, { error: "Not Found", message: expect.any(String) }]);
  });

  const posts: Record<string, string> = {
    scans: "/v1/qpr-codes",
    tags: "/api/v1/tags",
    analytics: "/analytics/v1/links",
    touchpoints: "/v3/experiences",
    platform: "/waymark/v1/keys",
  };

  it.each(DIALECTS)("%s: a body that is too large is 413, one of another type 415", async (name, _root, shape) => {
    const path = posts[name] as string;
    const large = await waymark.call("POST", path, { key, body: { name: "x".repeat(1_100_000) } });
    expect([large.status, large.body]).toStrictEqual([413, shape(413, "Payload Too Large")]);
    const xml = await waymark.call("POST", path, { key, body: "<a/>", headers: { "content-type": "text/xml" } });
    expect([xml.status, xml.body]).toStrictEqual([415, shape(415, "Unsupported Media Type")]);
  });
});

describe("outside of all APIs", () => {
  it("an unknown path is a page for people and a problem for programs", async () => {
    const page = await waymark.call("GET", "/nowhere", { headers: { accept: "text/html" } });
    expect([page.status, page.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
    const problem = await waymark.call("GET", "/nowhere");
    expect([problem.status, problem.headers.get("content-type")]).toEqual([404, "application/problem+json"]);
  });

  it("a broken percent-encoding is 400 and 404, and never 500", async () => {
    for (const path of ["/v1/scans/%", "/v1/scans/%ff", "/api/v1/tags/%zz", "/s/%", "/qr/%.png", "/%"]) {
      const { status } = await waymark.call("GET", path, { key });
      expect([path, status >= 400 && status < 500]).toEqual([path, true]);
    }
  });

  it("HEAD answers as GET without a body", async () => {
    const answer = await waymark.call("HEAD", "/v1/scans", { key });
    expect([answer.status, answer.text]).toEqual([200, ""]);
  });
});

describe("a body that unpacks or streams", () => {
  const post = (body: NonNullable<RequestInit["body"]>, headers: Record<string, string> = {}) =>
    fetch(`${waymark.url}/v1/qpr-codes`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
      body,
      duplex: "half",
    } as RequestInit);

  it("to more than its limit is 413, one that is not what it says 400 or 415", async () => {
    const bomb = gzipSync(`{"name":"${"x".repeat(20 << 20)}"}`);
    expect(bomb.length).toBeLessThan(100_000);
    expect((await post(bomb, { "content-encoding": "gzip" })).status).toBe(413);
    expect((await post("{}", { "content-encoding": "gzip" })).status).toBe(400);
    expect((await post("{}", { "content-encoding": "br" })).status).toBe(415);
    const chunk = new TextEncoder().encode("x".repeat(100_000));
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(chunk) });
    // The server may answer while the body still comes, or close: both end the request.
    const status = await post(endless).then(
      (response) => response.status,
      () => "closed",
    );
    expect(status).toBeOneOf([413, "closed"]);
    const sound = await post(gzipSync('{"name":"A","prompt":"B"}'), { "content-encoding": "gzip" });
    expect(sound.status).toBe(200);
  });
});

describe("every answer", () => {
  it("has the caller's request id when it is a sound one, else one of its own", async () => {
    const given = await waymark.call("GET", "/v1/scans", { key, headers: { "x-request-id": "my-id.1" } });
    expect(given.headers.get("x-request-id")).toBe("my-id.1");
    const wrong = await waymark.call("GET", "/v1/scans", { headers: { "x-request-id": "<script>" } });
    expect(wrong.headers.get("x-request-id")).toMatch(/^req_[\w-]+$/);
    expect(wrong.body.request_id).toBe(wrong.headers.get("x-request-id"));
  });

  it("of a public endpoint may be read by every page, which may ask before", async () => {
    const preflight = await waymark.call("OPTIONS", "/api/v1/scan/x/contact", {
      headers: { origin: "https://any.example", "access-control-request-method": "POST" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
    expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
    const answer = await waymark.call("GET", "/api/v1/scan/x", { headers: { origin: "https://any.example" } });
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    const keyed = await waymark.call("GET", "/v1/scans", { key, headers: { origin: "https://any.example" } });
    expect(keyed.headers.get("access-control-allow-origin")).toBeNull();
  });

  it("cannot be sniffed, framed or kept", async () => {
    const answer = await waymark.call("GET", "/v1/scans", { key });
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  });
});

describe("the doors that need no key", () => {
  it("/livez and /readyz tell how it is", async () => {
    const live = await waymark.call("GET", "/livez");
    expect([live.status, live.body]).toEqual([200, { status: "ok" }]);
    const ready = await waymark.call("GET", "/readyz");
    expect([ready.status, ready.body.ready]).toEqual([200, true]);
    // A gateway of its own has no store; it tells of the services that it asks.
    const isMany = process.env.WAYMARK_TEST_WAY === "processes";
    expect(ready.body.dependencies).toMatchObject({ log: "ok", [isMany ? "scans" : "store"]: "ok" });
    expect(Object.keys(ready.body.lag).length).toBeGreaterThan(0);
    for (const lag of Object.values(ready.body.lag)) expect(typeof lag).toBe("number");
  });

  it("/metrics is Prometheus text with requests in it", async () => {
    const call = caller(waymark.url);
    await call("GET", "/v1/scans", { key });
    const { status, headers, text } = await call("GET", "/metrics");
    expect([status, headers.get("content-type")]).toEqual([200, expect.stringMatching(/^text\/plain/)]);
    for (const line of text.trim().split("\n"))
      expect(line).toMatch(/^$|^#|^[a-zA-Z_:][\w:]*(\{.*\})? -?[\d.e+-]+$|NaN$|Inf$/);
    expect(text).toContain("waymark.scans.v1.ScanService.ListScans");
    expect(text).not.toContain(key);
  });

  it("/openapi.json is a valid OpenAPI 3.1 document of every route", async () => {
    const { status, body } = await waymark.call("GET", "/openapi.json");
    expect([status, body.openapi]).toEqual([200, expect.stringMatching(/^3\.1/)]);
    const result = await new Validator().validate(structuredClone(body));
    expect(result).toMatchObject({ valid: true });
    for (const path of [
      "/v1/scans",
      "/v1/qpr-codes/{qpr_code_id}/analytics",
      "/api/v1/impressions",
      "/analytics/v1/events",
      "/v3/touchpoint/metrics",
    ])
      expect(Object.keys(body.paths)).toContain(path);
    const scan = Object.keys(body.paths).filter((path) => path.startsWith("/api/v1/scan/"));
    expect(scan).toHaveLength(7);
    const cached = await waymark.call("GET", "/openapi.json", {
      headers: { "if-none-match": (await waymark.call("GET", "/openapi.json")).headers.get("etag") as string },
    });
    expect(cached.status).toBe(304);
  });

  it("/docs and / are pages that run nothing but themselves", async () => {
    for (const path of ["/docs", "/"]) {
      const { status, headers, text } = await waymark.call("GET", path);
      expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
      expect(headers.get("content-security-policy")).toContain("default-src 'none'");
      expect(text).not.toMatch(/<(?:script|link|img)[^>]+(?:src|href)="https?:/);
    }
  });
});
