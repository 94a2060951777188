import { hash } from "node:crypto";
import type { ConnectRouter } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { ScanService as FinderService } from "#gen/waymark/tags/v1/scan_pb.ts";
import type { RateLimits } from "#runtime/config.ts";
import { openDoor } from "./fixture/door.ts";

let door: Awaited<ReturnType<typeof openDoor>>;
afterEach(() => door.close());

async function open(rateLimits: RateLimits = {}, now?: () => number) {
  const routes = (router: ConnectRouter): void => {
    router.service(ScanService, { getScan: async ({ scanId }) => ({ scan: { id: scanId } }) });
    router.service(FinderService, { scanTag: async () => ({ profile: { tagId: "tag_1" } }) });
  };
  door = await openDoor({ routes, services: [ScanService, FinderService], config: { rateLimits }, now });
  door.world.keys.set("known", { scopes: ["scans:read"] });
  const keyed = (key: string, headers: Record<string, string> = {}) =>
    door.get("/v1/scans/s", { headers: { "x-api-key": key, ...headers } });
  const asked = () => door.world.calls.filter((name) => name === "authenticate").length;
  return { keyed, asked };
}

describe("a keyed answer", () => {
  it("tells how the key stands with its limit", async () => {
    const { keyed } = await open({ production: { count: 5, seconds: 60 } });
    const { headers } = await keyed("known");
    expect(headers.get("x-ratelimit-limit")).toBe("5");
    expect(headers.get("x-ratelimit-remaining")).toBe("4");
    expect(Number(headers.get("x-ratelimit-reset"))).toBeGreaterThan(Date.now() / 1000);
    expect(headers.get("ratelimit-policy")).toBe('"production";q=5;w=60');
    expect(headers.get("ratelimit")).toMatch(/^"production";r=4;t=\d+$/);
  });

  it("is 429 with Retry-After in the dialect after the last", async () => {
    const { keyed } = await open({ production: { count: 1, seconds: 60 } });
    await keyed("known");
    const response = await keyed("known");
    expect(response.status).toBe(429);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(response.headers.get("x-ratelimit-remaining")).toBe("0");
    expect(await response.json()).toMatchObject({ status: 429, code: "RATE_LIMITED" });
  });

  it("has no such headers when limits are off", async () => {
    const { keyed } = await open("off");
    expect((await keyed("known")).headers.has("x-ratelimit-limit")).toBe(false);
  });

  it("tells the limit also when the scope is missing", async () => {
    const { keyed } = await open();
    door.world.keys.set("other", { scopes: ["tags:read"] });
    const response = await keyed("other");
    expect([response.status, response.headers.get("x-ratelimit-limit")]).toEqual([403, "6000"]);
    expect(((await response.json()) as { detail: string }).detail).toContain("scans:read");
  });
});

describe("an answer to anyone", () => {
  it("is limited by address, in the dialect", async () => {
    await open({ scan: { count: 1, seconds: 60 } });
    const from = (ip: string) => door.get("/api/v1/scan/abc", { headers: { "x-forwarded-for": ip } });
    expect((await from("203.0.113.9")).status).toBe(200);
    expect((await from("203.0.113.10")).status).toBe(200);
    const refused = await from("203.0.113.9");
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ success: false, error: { code: "RATE_LIMITED" } });
  });
});

describe("the cache of keys", () => {
  it("asks for a key once", async () => {
    const { keyed, asked } = await open();
    await Promise.all([keyed("known"), keyed("known"), keyed("known")]);
    await keyed("known");
    expect(asked()).toBe(1);
  });

  it("asks again after 30 seconds", async () => {
    let now = 1_000_000;
    const { keyed, asked } = await open({}, () => now);
    await keyed("known");
    now += 29_000;
    await keyed("known");
    expect(asked()).toBe(1);
    now += 2_000;
    await keyed("known");
    expect(asked()).toBe(2);
  });

  it("refuses an unknown key for 5 seconds without asking", async () => {
    let now = 1_000_000;
    const { keyed, asked } = await open({}, () => now);
    for (let i = 0; i < 3; i++) expect((await keyed("nobody")).status).toBe(401);
    expect(asked()).toBe(1);
    now += 5_001;
    door.world.keys.set("nobody", { scopes: ["scans:read"] });
    expect((await keyed("nobody")).status).toBe(200);
  });

  it.each([
    ["id", { objectId: "id of known", aliases: [] }],
    ["hash", { objectId: "", aliases: [hash("sha256", "known")] }],
  ])("forgets a key that was revoked, told by its %s", async (_says, change) => {
    const { keyed } = await open();
    await keyed("known");
    door.world.keys.set("known", { scopes: [], revoked: true });
    door.keysChanged({ objectId: "another", aliases: ["another"] });
    expect((await keyed("known")).status).toBe(200);
    door.keysChanged(change);
    expect((await keyed("known")).status).toBe(403);
  });

  it("keeps answers for one address to that address", async () => {
    const { keyed, asked } = await open();
    door.world.keys.set("bound", { scopes: ["scans:read"], ips: ["203.0.113.9"] });
    const from = async (ip: string) => (await keyed("bound", { "x-forwarded-for": ip })).status;
    expect(await from("203.0.113.9")).toBe(200);
    expect(await from("203.0.113.10")).toBe(403);
    expect(await from("203.0.113.9")).toBe(200);
    expect(asked()).toBe(2);
  });

  it("does not keep that the authority could not be asked", async () => {
    const { keyed } = await open();
    door.world.failing.set("authenticate", () => Promise.reject(new Error("down")));
    expect((await keyed("known")).status).toBe(500);
    door.world.failing.clear();
    expect((await keyed("known")).status).toBe(200);
  });
});

describe("many unknown keys from one address", () => {
  it("stop it before the authority is asked, and known keys go on", async () => {
    const { keyed, asked } = await open({ stranger: { count: 3, seconds: 60 } });
    await keyed("known");
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) statuses.push((await keyed(`guess ${i}`)).status);
    expect(statuses).toEqual([401, 401, 401, 429, 429, 429]);
    expect(asked()).toBe(4);
    expect((await keyed("known")).status).toBe(200);
  });
});

describe("pages of other origins", () => {
  const origin = "https://shop.example";

  it("read what anyone may read", async () => {
    await open();
    const response = await door.get("/api/v1/scan/abc", { headers: { origin } });
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-expose-headers")).toContain("X-RateLimit-Limit");
  });

  it("read with a publishable key of their origin", async () => {
    const { keyed } = await open();
    door.world.keys.set("browser", { scopes: ["scans:read"], keyClass: "publishable", origins: [origin] });
    const { headers } = await keyed("browser", { origin });
    expect(headers.get("access-control-allow-origin")).toBe(origin);
    expect(headers.get("vary")).toBe("Origin");
    expect(
      (await keyed("browser", { origin: "https://evil.example" })).headers.has("access-control-allow-origin"),
    ).toBe(false);
  });

  it("do not read with any other key", async () => {
    const { keyed } = await open();
    expect((await keyed("known", { origin })).headers.has("access-control-allow-origin")).toBe(false);
  });

  it("are told by a preflight what a path takes", async () => {
    await open();
    const response = await door.get("/v1/scans", {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization" },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-methods")).toMatch(/GET.*POST/);
    expect(response.headers.get("access-control-allow-headers")).toContain("Authorization");
  });
});
