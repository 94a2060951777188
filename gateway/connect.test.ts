import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import { type CreateScansRequest, CreateScansRequestSchema, ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { ScanService as FinderService } from "#gen/waymark/tags/v1/scan_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import { failures } from "#runtime/failure.ts";
import { openDoor } from "./fixture/door.ts";

const fail = failures("scans.waymark", {
  SCAN_NOT_FOUND: { code: Code.NotFound, say: ({ id }) => `scan ${id} does not exist` },
});
let door: Awaited<ReturnType<typeof openDoor>>;
let seen: RequestContext;
let created: CreateScansRequest;

function routes(router: ConnectRouter): void {
  router.service(ScanService, {
    getScan: async ({ scanId }, handler) => {
      seen = contextOf(handler);
      if (scanId === "gone") throw fail("SCAN_NOT_FOUND", { id: scanId });
      if (scanId === "broken") throw new Error("disk /dev/sda");
      return { scan: { id: scanId, shortId: "abc123" } };
    },
    listScans: async () => ({}),
    createScans: async (request) => {
      created = request;
      return { accepted: request.scans.length };
    },
  });
  router.service(FinderService, { scanTag: async () => ({ profile: { tagId: "tag_1" } }) });
}

beforeAll(async () => {
  door = await openDoor({
    routes,
    services: [ScanService, FinderService, DirectoryService, AuthorityService],
    config: { rateLimits: { scan: { count: 1, seconds: 60 } } },
  });
  door.world.keys.set("all", { scopes: ["admin"] });
  door.world.keys.set("tags-only", { scopes: ["tags:read"] });
});
afterAll(() => door.close());

const transports = [
  ["Connect with JSON", (baseUrl: string) => createConnectTransport({ baseUrl })],
  ["Connect with binary", (baseUrl: string) => createConnectTransport({ baseUrl, useBinaryFormat: true })],
  ["gRPC-Web", (baseUrl: string) => createGrpcWebTransport({ baseUrl })],
] as const;

describe.each(transports)("over %s", (_name, transportTo) => {
  const client = () => createClient(ScanService, transportTo(door.url));
  const codeOf = (call: Promise<unknown>) =>
    call.then(
      () => "ok",
      (error) => Code[ConnectError.from(error).code],
    );
  const keyed = (key: string) => ({ headers: { "x-api-key": key } });

  it("a call is answered in the name of the key", async () => {
    const { scan } = await client().getScan({ scanId: "scan_1" }, { headers: { authorization: "Bearer all" } });
    expect(scan).toMatchObject({ id: "scan_1", shortId: "abc123" });
    expect(seen.principal).toMatchObject({ workspace: "acme", keyId: "id of all" });
  });

  it.each([
    ["no key", {}, "Unauthenticated"],
    ["an unknown key", keyed("nobody"), "Unauthenticated"],
    ["a key without the scope", keyed("tags-only"), "PermissionDenied"],
  ])("a call with %s is refused", async (_says, options, code) => {
    expect(await codeOf(client().getScan({ scanId: "scan_1" }, options))).toBe(code);
  });

  it("a refusal keeps its reason", async () => {
    const error = await client()
      .getScan({ scanId: "gone" }, keyed("all"))
      .then(() => undefined, ConnectError.from);
    expect(error?.code).toBe(Code.NotFound);
    expect(error?.rawMessage).toBe("scan gone does not exist");
    expect(error?.findDetails(ErrorInfoSchema)[0]?.reason).toBe("SCAN_NOT_FOUND");
  });

  it("an error that nobody foresaw says nothing", async () => {
    const error = await client()
      .getScan({ scanId: "broken" }, keyed("all"))
      .then(() => undefined, ConnectError.from);
    expect(error?.code).toBe(Code.Internal);
    expect(error?.message).not.toContain("/dev/sda");
  });

  it("a rule of the proto is kept", async () => {
    expect(await codeOf(client().listScans({ limit: 201 }, keyed("all")))).toBe("InvalidArgument");
  });

  it("internal fields are not taken", async () => {
    const request = create(CreateScansRequestSchema, {
      scans: [{ shortId: "a" }],
      fromLines: true,
      faults: [{ index: 0, message: "no" }],
    });
    await client().createScans(request, keyed("all"));
    expect(created.scans).toHaveLength(1);
    expect(created).toMatchObject({ fromLines: false, faults: [] });
  });

  it("internal methods do not exist", async () => {
    const directory = createClient(DirectoryService, transportTo(door.url));
    const authority = createClient(AuthorityService, transportTo(door.url));
    expect(await codeOf(directory.resolveShortId({ shortId: "abc123" }, keyed("all")))).toBe("Unimplemented");
    expect(await codeOf(authority.authenticate({ key: "all" }, keyed("all")))).toBe("Unimplemented");
  });
});

describe("the Connect face", () => {
  let path: string;
  beforeEach(() => {
    path = "/waymark.scans.v1.ScanService/GetScan";
  });
  const post = (body: string, headers: Record<string, string> = {}) =>
    door.get(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": "all", ...headers },
      body,
    });

  it("works with curl, and tells the limit and the request's id", async () => {
    const response = await post('{"scanId":"scan_1"}', { "x-request-id": "mine" });
    expect(await response.json()).toMatchObject({ scan: { id: "scan_1" } });
    expect(response.headers.get("x-request-id")).toBe("mine");
    expect(response.headers.get("x-ratelimit-limit")).toBe("6000");
  });

  it("limits calls as REST does", async () => {
    path = "/waymark.tags.v1.ScanService/ScanTag";
    expect((await post('{"encryptedId":"abc"}')).status).toBe(200);
    const refused = await post('{"encryptedId":"abc"}');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.headers.get("access-control-allow-origin")).toBe("*");
  });

  it("takes no body above its limit", async () => {
    const response = await post(`{"scanId":"${"x".repeat(1 << 20)}"}`);
    expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
  });

  it("answers a preflight", async () => {
    const response = await door.get(path, { method: "OPTIONS" });
    expect([response.status, response.headers.get("access-control-allow-methods")]).toEqual([204, "POST, OPTIONS"]);
  });

  it("takes POST alone", async () => {
    const response = await door.get(path);
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST, OPTIONS"]);
  });
});
