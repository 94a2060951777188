import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { LinkService } from "#gen/waymark/codes/v1/links_pb.ts";
import { PosterService } from "#gen/waymark/impressions/v1/posters_pb.ts";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { ScanService as FinderService } from "#gen/waymark/tags/v1/scan_pb.ts";
import { TagService } from "#gen/waymark/tags/v1/tags_pb.ts";
import { TouchpointService } from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import { openDoor } from "./fixture/door.ts";

const services = [KeyService, LinkService, PosterService, ScanService, FinderService, TagService, TouchpointService];
const missing = async () => {
  throw new ConnectError("it does not exist", Code.NotFound);
};
let seen: RequestContext | undefined;

function routes(router: ConnectRouter): void {
  router.service(KeyService, {
    getKey: missing,
    deleteKey: async () => ({}),
    listKeys: async () => Promise.reject(new Error("disk /dev/sda")),
  });
  router.service(LinkService, { getLink: missing, deleteLink: async () => ({}) });
  router.service(PosterService, { getPoster: missing });
  router.service(TouchpointService, { getTouchpointMetrics: missing });
  router.service(ScanService, {
    getScan: async ({ scanId }, handler) => {
      seen = contextOf(handler);
      if (scanId === "gone") return missing();
      return { scan: { id: scanId, qprCodeId: "qpr_1" } };
    },
    createScans: async ({ scans }) => ({ accepted: scans.length }),
    listScans: async () => {
      throw fail("INVALID_FIELD", { field: "qpr_code_id", must: "names no code" });
    },
  });
  router.service(TagService, {
    getTag: missing,
    createTag: async () => {
      throw fail("INVALID_FIELD", { field: "item_name", must: "is taken" });
    },
  });
  router.service(FinderService, {
    scanTag: async (_request, handler) => {
      seen = contextOf(handler);
      return { profile: { tagId: "tag_1" } };
    },
    drawTag: async (_request, handler) => {
      handler.responseHeader.set("etag", '"picture-1"');
      handler.responseHeader.set("x-secret", "no");
      return { picture: { contentType: "image/png", data: new Uint8Array([1, 2, 3]) } };
    },
  });
}

let door: Awaited<ReturnType<typeof openDoor>>;
const auth = { authorization: "Bearer all" };
const json = { ...auth, "content-type": "application/json" };

beforeAll(async () => {
  door = await openDoor({ routes, services, config: { rateLimits: { scan: { count: 1_000, seconds: 60 } } } });
  door.world.keys.set("all", { scopes: ["admin"] });
  door.world.keys.set("scans-only", { scopes: ["scans:read"] });
});
afterAll(() => door.close());
beforeEach(() => {
  seen = undefined;
});

const PATHS = [
  ["scans", "/v1/scans/gone"],
  ["impressions", "/api/v1/posters/gone"],
  ["tags", "/api/v1/tags/gone"],
  ["analytics", "/analytics/v1/links/gone"],
  ["touchpoints", "/v3/touchpoint/metrics?metricsType=EXPERIENCE&experienceId=gone"],
  ["platform", "/waymark/v1/keys/gone"],
] as const;

const SHAPES: Record<string, (status: number, code: string, phrase: string) => object> = {
  scans: (status, _code, title) => ({
    type: "about:blank",
    status,
    title,
    detail: expect.any(String),
    request_id: expect.any(String),
  }),
  platform: (status, _code, title) => ({
    type: "about:blank",
    status,
    title,
    detail: expect.any(String),
    requestId: expect.any(String),
  }),
  impressions: (_status, _code, phrase) => ({ error: phrase, message: expect.any(String) }),
  tags: (_status, code) => ({ success: false, error: { code, message: expect.any(String) } }),
  analytics: (status) => ({
    error: { code: status, codeType: expect.any(String), message: expect.any(String), details: [] },
  }),
  touchpoints: (statusCode) => ({ statusCode, message: expect.any(String) }),
};

describe.each(PATHS)("a refusal in the dialect of %s", (name, path) => {
  const shape = (...given: [number, string, string]) => (SHAPES[name] as (typeof SHAPES)[string])(...given);

  it("is 401 without a key", async () => {
    const response = await door.get(path);
    expect(response.status).toBe(401);
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
    const body = (await response.json()) as object;
    expect(body).toMatchObject(shape(401, "UNAUTHORIZED", "Unauthorized"));
    expect(JSON.stringify(body)).toContain("Invalid or missing API key");
  });

  it("is 404 for what does not exist", async () => {
    const response = await door.get(path, { headers: auth });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject(shape(404, "NOT_FOUND", "Not Found"));
  });

  it("is 405 with Allow for another method", async () => {
    const response = await door.get(path, { headers: auth, method: "POST" });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toMatch(/GET.*HEAD.*OPTIONS/);
    expect(await response.json()).toMatchObject(shape(405, "METHOD_NOT_ALLOWED", "Method Not Allowed"));
  });

  it("has the request's id, no cache and the safe headers", async () => {
    const { headers } = await door.get(path, { headers: { ...auth, "x-request-id": "mine-1" } });
    expect(headers.get("x-request-id")).toBe("mine-1");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  });
});

describe("a path that nothing is at", () => {
  it.each([
    ["/v1/nothing", SHAPES.scans],
    ["/api/v1/nothing", SHAPES.tags],
    ["/analytics/v1/nothing", SHAPES.analytics],
    ["/v3/nothing", SHAPES.touchpoints],
    ["/waymark/v1/nothing", SHAPES.platform],
    ["/nothing", SHAPES.scans],
  ] as const)("%s is 404 in the dialect of its API", async (path, shape) => {
    const response = await door.get(path);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject(shape?.(404, "NOT_FOUND", "Not Found") ?? {});
  });

  it("is a page for people outside of all APIs", async () => {
    const response = await door.get("/nothing", { headers: { accept: "text/html" } });
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("There is nothing here");
  });

  it("is 400 when its percent-encoding is broken", async () => {
    const response = await door.get("/v1/scans/%zz", { headers: auth });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "URL_MALFORMED" });
  });

  it("is 404 for a method that nobody knows", async () =>
    expect((await door.get("/v1/nothing", { method: "PROPFIND" })).status).toBe(404));
});

describe("a key", () => {
  it.each([
    ["authorization", "Bearer all"],
    ["authorization", "bearer  all"],
    ["x-api-key", "all"],
    ["x-distinct-api-key", "all"],
  ])("works in %s: %s", async (name, value) => {
    expect((await door.get("/v1/scans/scan_1", { headers: { [name]: value } })).status).toBe(200);
  });

  it.each([
    ["an unknown key", "nobody", "/v1/scans/scan_1", 401],
    ["a key with the scope", "scans-only", "/v1/scans/scan_1", 200],
    ["a key without the scope", "scans-only", "/waymark/v1/keys/key_1", 403],
  ])("%s gets its answer", async (_says, key, path, status) => {
    expect((await door.get(path, { headers: { "x-api-key": key } })).status).toBe(status);
  });

  it("is refused with 403 when revoked, from another address, or from another origin", async () => {
    door.world.keys.set("revoked", { scopes: ["admin"], revoked: true });
    door.world.keys.set("elsewhere", { scopes: ["admin"], ips: ["203.0.113.9"] });
    door.world.keys.set("browser", { scopes: ["admin"], keyClass: "publishable", origins: ["https://shop.example"] });
    for (const key of ["revoked", "elsewhere", "browser"]) {
      expect((await door.get("/v1/scans/scan_1", { headers: { "x-api-key": key } })).status).toBe(403);
    }
  });

  it("is used from an allowed address behind a trusted proxy", async () => {
    door.world.keys.set("proxied", { scopes: ["admin"], ips: ["203.0.113.9"] });
    const from = (ip: string) =>
      door.get("/v1/scans/scan_1", { headers: { "x-api-key": "proxied", "x-forwarded-for": ip } });
    expect([(await from("203.0.113.9")).status, (await from("203.0.113.10")).status]).toEqual([200, 403]);
  });

  it("becomes the principal and context of the call", async () => {
    door.world.keys.set("dev", { scopes: ["scans:read"], keyClass: "development", workspace: "beta" });
    const headers = {
      "x-api-key": "dev",
      "x-forwarded-for": "203.0.113.9",
      "user-agent": "curl/8",
      "x-request-id": "r1",
    };
    await door.get("/v1/scans/scan_1", { headers });
    expect(seen).toMatchObject({
      principal: { workspace: "beta", keyId: "id of dev", keyName: "dev", keyClass: "development", test: true },
      requestId: "r1",
      ip: "203.0.113.9",
      userAgent: "curl/8",
    });
  });

  it("is not needed and not looked at where anyone may call", async () => {
    const response = await door.get("/api/v1/scan/abc", { headers: { "x-api-key": "nobody" } });
    expect(response.status).toBe(200);
    expect(seen?.principal).toMatchObject({ workspace: "", keyClass: "anonymous" });
  });
});

describe("an answer", () => {
  it("has a fresh request id when the caller's is not safe", async () => {
    const { headers } = await door.get("/livez", { headers: { "x-request-id": "no spaces, please" } });
    expect(headers.get("x-request-id")).toMatch(/^req_[\w-]{36}$/);
  });

  it("to HEAD has the headers of GET and no body", async () => {
    const [head, get] = [
      await door.get("/v1/scans/s", { method: "HEAD", headers: auth }),
      await door.get("/v1/scans/s", { headers: auth }),
    ];
    expect(head.status).toBe(200);
    expect(head.headers.get("content-length")).toBe(String((await get.text()).length));
    expect(await head.text()).toBe("");
  });

  it.each([
    ["/waymark/v1/keys/key_1", 204, ""],
    ["/analytics/v1/links/link_1", 200, "{}"],
  ])("to DELETE %s is %i", async (path, status, body) => {
    const response = await door.get(path, { method: "DELETE", headers: auth });
    expect([response.status, await response.text()]).toEqual([status, body]);
  });

  it("says nothing of an error that nobody foresaw but the request's id", async () => {
    const response = await door.get("/waymark/v1/keys", { headers: { ...auth, "x-request-id": "r-500" } });
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).toContain("r-500");
    expect(text).not.toContain("/dev/sda");
  });

  it("is a picture with its tag, and 304 to who has it", async () => {
    const first = await door.get("/api/v1/scan/abc/qr");
    expect(first.headers.get("content-type")).toBe("image/png");
    expect(first.headers.get("etag")).toBe('"picture-1"');
    expect(first.headers.has("x-secret")).toBe(false);
    expect([...new Uint8Array(await first.arrayBuffer())]).toEqual([1, 2, 3]);
    expect((await door.get("/api/v1/scan/abc/qr", { headers: { "if-none-match": 'W/"picture-1"' } })).status).toBe(304);
  });
});

describe("a faulty request", () => {
  it("is 400 and names the query parameter of the dialect", async () => {
    const response = await door.get("/v1/scans?limit=many", { headers: auth });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      code: "INVALID_FIELD",
      errors: [{ field: "limit", message: expect.stringContaining("limit") }],
    });
  });

  it("is 400 when a rule of the proto is broken", async () => {
    const response = await door.get("/v1/scans?limit=201", { headers: auth });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: [{ field: "limit" }] });
  });

  it("names a field that the service found wrong in the dialect's words", async () => {
    const body = JSON.stringify({ itemName: "Keys", ownerName: "Jane" });
    const response = await door.get("/api/v1/tags", { method: "POST", headers: json, body });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      success: false,
      error: { code: "VALIDATION_ERROR", message: "Invalid input data", details: { itemName: ["itemName is taken"] } },
    });
  });

  it("is 400 with the position when the JSON is malformed", async () => {
    const response = await door.get("/v1/scans", { method: "POST", headers: json, body: '{"scans": [,]}' });
    expect(response.status).toBe(400);
    expect(((await response.json()) as { detail: string }).detail).toMatch(/11|12/);
  });
});
