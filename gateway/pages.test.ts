import { hash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDoor } from "./fixture/door.ts";

let door: Awaited<ReturnType<typeof openDoor>>;
beforeAll(async () => {
  door = await openDoor();
});
afterAll(() => door.close());

describe.each(["/", "/docs", "/scan/aGVsbG8"])("the page %s", (path) => {
  it("runs and loads nothing but what stands in it", async () => {
    const response = await door.get(path);
    const html = await response.text();
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    for (const [, tag, text] of html.matchAll(/<(script|style)>([\s\S]*?)<\/\1>/g)) {
      expect(policy).toContain(`${tag}-src 'sha256-${hash("sha256", text as string, "base64")}'`);
    }
    expect(html).not.toMatch(/<(?:script|link|img|iframe)[^>]*(?:src|href)=/);
    expect(html).not.toMatch(/ (?:style|on\w+)="/);
  });
});

describe("the landing page", () => {
  it("names where the places come from, as their licence asks", async () => {
    expect(await (await door.get("/")).text()).toContain('<a href="https://db-ip.com">IP Geolocation by DB-IP</a>');
  });
});

describe("health", () => {
  it("is alive without asking anybody", async () => {
    const response = await door.get("/livez");
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
    expect(door.world.calls).toEqual([]);
  });

  it("tells how each part is doing", async () => {
    const response = await door.get("/readyz");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      ready: true,
      dependencies: { store: "ok" },
      lag: { scans: 0, queued_touches: 0 },
    });
  });

  it("counts requests by route and status, and never by path", async () => {
    await door.get("/s/secret-path");
    const text = await (await door.get("/metrics")).text();
    expect(text).toMatch(/waymark_http_duration_seconds_count\{route="redirect",status="404"\} \d/);
    expect(text).not.toContain("secret-path");
  });
});

describe("a page", () => {
  it("takes no POST", async () => {
    expect((await door.get("/docs", { method: "POST" })).status).toBe(405);
  });

  it("has its headers for HEAD", async () => {
    const response = await door.get("/docs", { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(Number(response.headers.get("content-length"))).toBeGreaterThan(1_000);
  });
});
