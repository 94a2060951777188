import { describe, expect, it } from "vitest";
import type { KeyClass } from "#runtime/context.ts";
import { openLimiter, rateHeaders, type Standing } from "./limit.ts";

const caller = (keyClass: KeyClass, keyId = "key_1") => ({ principal: { keyId, keyClass }, ip: "203.0.113.9" });

describe("the limit of a call", () => {
  it.each([
    ["admin", "default", "admin", 6_000],
    ["production", "", "production", 6_000],
    ["analytics", "default", "analytics", 6_000],
    ["development", "default", "development", 600],
    ["production", "query", "query", 600],
    ["development", "intake", "intake", 1_000_000],
    ["anonymous", "scan", "scan", 30],
    ["anonymous", "emergency", "emergency", 5],
    ["anonymous", "contact", "contact", 5],
    ["anonymous", "default", "public", 300],
  ] as const)(
    "with a key of class %s and the rate class %j is that of %s: %i a minute",
    async (keyClass, rateClass, name, limit) => {
      const standing = await openLimiter({}).take({ ...caller(keyClass), rateClass });
      expect(standing).toMatchObject({ allowed: true, name, limit, seconds: 60, remaining: limit - 1 });
    },
  );

  it("follows the settings", async () => {
    const limiter = openLimiter({
      scan: { count: 2, seconds: 10 },
      default: { count: 7, seconds: 5 },
      admin: { count: 9, seconds: 5 },
    });
    expect(await limiter.take({ ...caller("anonymous"), rateClass: "scan" })).toMatchObject({ limit: 2, seconds: 10 });
    expect(await limiter.take({ ...caller("development"), rateClass: "default" })).toMatchObject({ limit: 7 });
    expect(await limiter.take({ ...caller("admin"), rateClass: "default" })).toMatchObject({ limit: 9 });
    expect(await limiter.take({ ...caller("admin"), rateClass: "query" })).toMatchObject({ limit: 600 });
  });

  it("is none when limits are off", async () => {
    expect(await openLimiter("off").take({ ...caller("anonymous"), rateClass: "emergency" })).toBeUndefined();
  });

  it("refuses the call after the last and tells when to come back", async () => {
    const limiter = openLimiter({ contact: { count: 2, seconds: 60 } });
    const take = () => limiter.take({ ...caller("anonymous"), rateClass: "contact" }) as Promise<Standing>;
    expect([(await take()).remaining, (await take()).remaining]).toEqual([1, 0]);
    const refused = await take();
    expect(refused).toMatchObject({ allowed: false, remaining: 0 });
    expect(refused.resetMs).toBeGreaterThan(0);
  });

  it("is counted by key, not by address", async () => {
    const limiter = openLimiter({ default: { count: 1, seconds: 60 } });
    await limiter.take({ ...caller("production"), rateClass: "" });
    expect(await limiter.take({ ...caller("production", "key_2"), rateClass: "" })).toMatchObject({ allowed: true });
    expect(await limiter.take({ ...caller("production"), rateClass: "" })).toMatchObject({ allowed: false });
  });

  it("is counted by address without a key", async () => {
    const limiter = openLimiter({ scan: { count: 1, seconds: 60 } });
    const from = (ip: string) => limiter.take({ ...caller("anonymous"), ip, rateClass: "scan" });
    await from("203.0.113.9");
    expect(await from("203.0.113.10")).toMatchObject({ allowed: true });
    expect(await from("203.0.113.9")).toMatchObject({ allowed: false });
  });
});

describe("unknown keys from one address", () => {
  it("stop it after so many", async () => {
    const limiter = openLimiter({ stranger: { count: 2, seconds: 60 } });
    await limiter.blame("203.0.113.9");
    expect(await limiter.blamed("203.0.113.9")).toBeUndefined();
    await limiter.blame("203.0.113.9");
    expect(await limiter.blamed("203.0.113.9")).toMatchObject({ allowed: false, name: "stranger" });
    expect(await limiter.blamed("203.0.113.10")).toBeUndefined();
  });
});

describe("the headers of a limit", () => {
  const standing: Standing = { allowed: true, name: "query", limit: 600, seconds: 60, remaining: 599, resetMs: 59_400 };

  it("are the X-RateLimit trio and the IETF pair", () => {
    expect(rateHeaders(standing, 1_000_000)).toEqual({
      "x-ratelimit-limit": "600",
      "x-ratelimit-remaining": "599",
      "x-ratelimit-reset": "1060",
      "ratelimit-policy": '"query";q=600;w=60',
      ratelimit: '"query";r=599;t=60',
    });
  });

  it("say Retry-After in seconds when the call is refused", () => {
    expect(rateHeaders({ ...standing, allowed: false, resetMs: 1_500 }, 0)["retry-after"]).toBe("2");
  });
});
