import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { TagService } from "#gen/waymark/tags/v1/tags_pb.ts";
import { openDoor } from "./fixture/door.ts";

let door: Awaited<ReturnType<typeof openDoor>>;
let accepted = 0;
const json = { authorization: "Bearer all", "content-type": "application/json" };

beforeAll(async () => {
  door = await openDoor({
    services: [ScanService, TagService],
    routes: (router) => {
      router.service(ScanService, {
        createScans: async ({ scans }) => {
          accepted = scans.length;
          return { accepted };
        },
      });
    },
  });
  door.world.keys.set("all", { scopes: ["admin"] });
});
afterAll(() => door.close());

describe("a body", () => {
  const post = (body: RequestInit["body"], headers: Record<string, string> = {}) =>
    door.get("/v1/scans", { method: "POST", headers: { ...json, ...headers }, body });
  const two = JSON.stringify({ scans: [{ short_id: "a" }, { short_id: "b" }] });

  it("is read", async () => {
    expect((await post(two)).status).toBe(200);
    expect(accepted).toBe(2);
  });

  it("is unpacked from gzip", async () => {
    accepted = 0;
    expect((await post(gzipSync(two), { "content-encoding": "gzip" })).status).toBe(200);
    expect(accepted).toBe(2);
  });

  it("is read as lines of NDJSON where the method takes them", async () => {
    accepted = 0;
    const response = await post('{"short_id":"a"}\n{"short_id":"b"}\n{"short_id":"c"}\n', {
      "content-type": "application/x-ndjson",
    });
    expect([response.status, accepted]).toEqual([200, 3]);
  });

  it.each([
    ["of another type", two, { "content-type": "text/plain" }, 415],
    ["of a type that is none", two, { "content-type": "json" }, 415],
    ["with another encoding", two, { "content-encoding": "br" }, 415],
    ["that is not gzip but says so", two, { "content-encoding": "gzip" }, 400],
    ["above 16 MiB for a batch", "x".repeat((16 << 20) + 1), {}, 413],
    ["that unpacks to more than 16 MiB", gzipSync(Buffer.alloc((16 << 20) + 1)), { "content-encoding": "gzip" }, 413],
  ])("%s is refused in the dialect", async (_says, body, headers, status) => {
    const response = await post(body, headers as Record<string, string>);
    expect(response.status).toBe(status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(await response.json()).toMatchObject({ status });
  });

  it("above 1 MiB is refused elsewhere, also without a length", async () => {
    const big = new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array((1 << 20) + 1));
        controller.close();
      },
    });
    const init = { method: "POST", headers: json, body: big, duplex: "half" } as RequestInit;
    const response = await door.get("/api/v1/tags", init);
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ success: false, error: { code: "PAYLOAD_TOO_LARGE" } });
  });

  it("is not read of a caller without a key", async () => {
    const response = await door.get("/v1/scans", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{",
    });
    expect(response.status).toBe(401);
  });
});
