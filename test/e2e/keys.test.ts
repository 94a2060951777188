import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { MILLIS } from "./house-keys.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown, as: string = key) =>
  waymark.call(method, path, { key: as, body });
const makeKey = async (more: object = {}) => {
  const made = await send("POST", "/waymark/v1/keys", {
    name: "CI",
    class: "production",
    scopes: ["scans:read"],
    ...more,
  });
  expect([made.status, made.text]).toMatchObject([201, expect.any(String)]);
  return made.body as { key: Record<string, unknown> & { id: string }; secret: string };
};

beforeAll(async () => {
  waymark = await startWaymark({ WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8" });
  key = (await waymark.workspace("Keys")).key;
});
afterAll(() => waymark?.stop());

describe("a key", () => {
  it("is made with its secret, which is shown this once", async () => {
    const made = await makeKey({ scopes: ["scans:read", "codes:read"] });
    expect(Object.keys(made)).toEqual(["key", "secret"]);
    expect(made.secret).toMatch(/^wmk_[A-Za-z0-9_-]{40,}$/);
    expect(made.key).toStrictEqual({
      id: expect.stringMatching(/^key_/),
      name: "CI",
      class: "production",
      scopes: ["scans:read", "codes:read"],
      prefix: made.secret.slice(0, 8),
      ipAllowList: [],
      origins: [],
      createdAt: expect.stringMatching(MILLIS),
      createdBy: expect.stringMatching(/^key_/),
      expiresAt: null,
      lastUsedAt: null,
      revokedAt: null,
    });
    const shown = await send("GET", `/waymark/v1/keys/${made.key.id}`);
    expect(shown.body.key ?? shown.body).toStrictEqual(made.key);
    const listed = await send("GET", "/waymark/v1/keys");
    expect(listed.body.keys[0]).toStrictEqual(made.key);
    expect(`${shown.text}${listed.text}`).not.toContain(made.secret);
  });

  it("works in each of the three headers, for every API", async () => {
    const { secret } = await makeKey({
      scopes: ["scans:read", "impressions:read", "tags:read", "analytics:read", "touchpoints:read", "keys:read"],
    });
    const ways: Record<string, string>[] = [
      { authorization: `Bearer ${secret}` },
      { "x-api-key": secret },
      { "x-distinct-api-key": secret },
    ];
    const paths = [
      "/v1/scans",
      "/api/v1/impressions",
      "/api/v1/tags",
      "/analytics/v1/events",
      "/v3/experiences",
      "/waymark/v1/keys",
    ];
    for (const path of paths) {
      for (const headers of ways) {
        const { status } = await waymark.call("GET", path, { headers });
        expect([path, headers, status]).toEqual([path, headers, 200]);
      }
    }
  });

  it("tells when it was last used", async () => {
    const made = await makeKey();
    await send("GET", "/v1/scans", undefined, made.secret);
    const { body } = await eventually(async () => {
      const answer = await send("GET", `/waymark/v1/keys/${made.key.id}`);
      expect((answer.body.key ?? answer.body).lastUsedAt).not.toBeNull();
      return answer;
    });
    expect((body.key ?? body).lastUsedAt).toMatch(MILLIS);
  });

  it("is listed by pages, newest first", async () => {
    const { key: own } = await waymark.workspace("Many keys");
    for (let n = 0; n < 5; n += 1)
      await send("POST", "/waymark/v1/keys", { name: `Key ${n}`, scopes: ["scans:read"] }, own);
    const names: string[] = [];
    let token = "";
    do {
      const { body } = await send("GET", `/waymark/v1/keys?pageSize=2&pageToken=${token}`, undefined, own);
      names.push(...body.keys.map(({ name }: { name: string }) => name));
      token = body.nextPageToken;
    } while (token !== "");
    expect(names).toEqual(["Key 4", "Key 3", "Key 2", "Key 1", "Key 0", "first key"]);
  });

  it.each<[object, number, string]>([
    [{ name: "" }, 400, "name"],
    [{ scopes: [] }, 400, "scopes"],
    [{ scopes: ["scans:fly"] }, 400, "scopes[0]"],
    [{ class: "king" }, 400, "class"],
    [{ class: "analytics", scopes: ["scans:write"] }, 400, "scopes[0]"],
    [{ class: "publishable", scopes: ["scans:write"] }, 400, "origins"],
    [{ ipAllowList: ["everywhere"] }, 400, "ipAllowList[0]"],
    [{ expiresAt: "2020-01-01" }, 400, "expiresAt"],
    [{ scopes: ["admin"] }, 400, "scopes[0]"],
    [{ class: "admin", scopes: ["admin"] }, 403, "admin"],
  ])("is refused with %j", async (wrong, status, says) => {
    const answer = await send("POST", "/waymark/v1/keys", { name: "X", scopes: ["scans:read"], ...wrong });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([status, "application/problem+json"]);
    expect(answer.body.detail).toContain(says);
    expect(answer.body.requestId).toBe(answer.headers.get("x-request-id"));
  });

  it("grants only what it holds itself", async () => {
    const { secret } = await makeKey({ scopes: ["keys:write", "scans:read"] });
    const answer = await send("POST", "/waymark/v1/keys", { name: "X", scopes: ["tags:read"] }, secret);
    expect([answer.status, answer.body.code]).toEqual([403, "SCOPE_NOT_HELD"]);
    expect((await send("POST", "/waymark/v1/keys", { name: "X", scopes: ["scans:read"] }, secret)).status).toBe(201);
  });
});

const EVERYWHERE = [
  "/v1/scans",
  "/v1/qpr-codes",
  "/api/v1/impressions",
  "/api/v1/tags",
  "/analytics/v1/events",
  "/v3/experiences",
  "/waymark/v1/keys",
  "/waymark/v1/ledger",
];
const everywhere = async (secret: string) =>
  (await Promise.all(EVERYWHERE.map((path) => send("GET", path, undefined, secret)))).map(({ status }) => status);
const all = (status: number) => EVERYWHERE.map(() => status);
const READ = [
  "scans:read",
  "codes:read",
  "impressions:read",
  "tags:read",
  "analytics:read",
  "touchpoints:read",
  "keys:read",
  "ledger:read",
];

describe("an end of a key", () => {
  it("by revocation is 403 everywhere at once, and is never taken back", async () => {
    for (let round = 0; round < 5; round += 1) {
      const made = await makeKey({ scopes: READ });
      expect(await everywhere(made.secret)).toEqual(all(200));
      expect((await send("DELETE", `/waymark/v1/keys/${made.key.id}`)).status).toBe(204);
      expect(await everywhere(made.secret)).toEqual(all(403));
      expect((await send("DELETE", `/waymark/v1/keys/${made.key.id}`)).status).toBe(204);
      expect((await send("POST", `/waymark/v1/keys/${made.key.id}:rotate`, {})).status).toBe(400);
      const { body } = await send("GET", `/waymark/v1/keys/${made.key.id}`);
      expect((body.key ?? body).revokedAt).toMatch(MILLIS);
    }
  });

  it("by its time is 403", async () => {
    const made = await makeKey({ scopes: READ, expiresAt: new Date(Date.now() + 700).toISOString() });
    expect(await everywhere(made.secret)).toEqual(all(200));
    await eventually(async () => expect(await everywhere(made.secret)).toEqual(all(403)));
  });

  it("by rotation comes after the overlap: until then both secrets work", async () => {
    const made = await makeKey({ scopes: READ });
    const rotated = await send("POST", `/waymark/v1/keys/${made.key.id}:rotate`, { overlapSeconds: 2 });
    expect([rotated.status, Object.keys(rotated.body)]).toEqual([200, ["key", "secret"]]);
    expect(rotated.body.key.id).toBe(made.key.id);
    expect(await everywhere(made.secret)).toEqual(all(200));
    expect(await everywhere(rotated.body.secret)).toEqual(all(200));
    await eventually(async () => expect(await everywhere(made.secret)).toEqual(all(403)));
    expect(await everywhere(rotated.body.secret)).toEqual(all(200));
  });

  it("by rotation without overlap is at once", async () => {
    const made = await makeKey({ scopes: READ });
    expect(await everywhere(made.secret)).toEqual(all(200));
    const rotated = await send("POST", `/waymark/v1/keys/${made.key.id}:rotate`, { overlapSeconds: 0 });
    expect(await everywhere(made.secret)).toEqual(all(403));
    expect(await everywhere(rotated.body.secret)).toEqual(all(200));
  });
});

describe("a key that is bound", () => {
  const from = (secret: string, ip: string) =>
    waymark.call("GET", "/v1/scans", { key: secret, headers: { "x-forwarded-for": ip } });

  it("to addresses is 403 from all others", async () => {
    const made = await makeKey({ ipAllowList: ["203.0.113.0/24", "2001:db8::1"] });
    expect((await from(made.secret, "203.0.113.9")).status).toBe(200);
    expect((await from(made.secret, "2001:db8::1")).status).toBe(200);
    expect((await from(made.secret, "2001:db8::2")).status).toBe(403);
    const refused = await send("GET", "/v1/scans", undefined, made.secret);
    expect([refused.status, refused.body.code]).toEqual([403, "ADDRESS_NOT_ALLOWED"]);
    expect(refused.text).not.toContain("127.0.0.1");
    await send("PATCH", `/waymark/v1/keys/${made.key.id}`, { ipAllowList: ["198.51.100.1"] });
    expect((await from(made.secret, "203.0.113.9")).status).toBe(403);
    expect((await from(made.secret, "198.51.100.1")).status).toBe(200);
  });

  it("to web origins writes touches from there alone", async () => {
    const code = await makeCode(waymark, key, {});
    const made = await makeKey({ class: "publishable", scopes: ["scans:write"], origins: ["https://shop.example"] });
    const scan = (headers: Record<string, string>) =>
      waymark.call("POST", "/v1/scans", { key: made.secret, headers, body: { scans: [{ qpr_code_id: code.id }] } });
    const allowed = await scan({ origin: "https://shop.example" });
    expect([allowed.status, allowed.body.accepted]).toEqual([200, 1]);
    expect(allowed.headers.get("access-control-allow-origin")).toBe("https://shop.example");
    for (const headers of [{ origin: "https://evil.example" }, {}]) {
      const refused = await scan(headers as Record<string, string>);
      expect([refused.status, refused.body.code]).toEqual([403, "ORIGIN_NOT_ALLOWED"]);
      expect(refused.headers.get("access-control-allow-origin")).toBeNull();
    }
    const reading = await waymark.call("GET", "/v1/scans", {
      key: made.secret,
      headers: { origin: "https://shop.example" },
    });
    expect([reading.status, reading.body.code]).toEqual([403, "PERMISSION_DENIED"]);
    const preflight = await waymark.call("OPTIONS", "/v1/scans", {
      headers: { origin: "https://shop.example", "access-control-request-method": "POST" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
    expect(preflight.headers.get("access-control-allow-headers")?.toLowerCase()).toContain("authorization");
  });
});

describe("a development key", () => {
  it("makes test data that no other key sees, and sees only that", async () => {
    const { key: own } = await waymark.workspace("Developers");
    const scopes = ["codes:read", "codes:write", "scans:read", "scans:write", "analytics:read", "ledger:read"];
    const made = await send("POST", "/waymark/v1/keys", { name: "dev", class: "development", scopes }, own);
    const dev = made.body.secret;
    const [test, live] = [await makeCode(waymark, dev, {}), await makeCode(waymark, own, {})];
    await sendScans(waymark, dev, [{ id: "test-1", qpr_code_id: test.id }]);
    await sendScans(waymark, own, [{ id: "live-1", qpr_code_id: live.id }]);
    const seen = async (as: string) => {
      const scans = await send("GET", "/v1/scans", undefined, as);
      const codes = await send("GET", "/v1/qpr-codes", undefined, as);
      return [scans.body.scans, codes.body.qpr_codes].map((list) => list.map(({ id }: { id: string }) => id));
    };
    expect(await seen(dev)).toEqual([["test-1"], [test.id]]);
    expect(await seen(own)).toEqual([["live-1"], [live.id]]);
    for (const [as, path] of [
      [dev, "/v1/scans/live-1"],
      [own, "/v1/scans/test-1"],
      [dev, `/v1/qpr-codes/${live.id}`],
      [own, `/v1/qpr-codes/${test.id}/analytics`],
    ] as const)
      expect([path, (await send("GET", path, undefined, as)).status]).toEqual([path, 404]);
    const crossed = await sendScans(waymark, dev, [{ qpr_code_id: live.id }]);
    expect(crossed.body).toMatchObject({ accepted: 0, rejected: [{ code: "CODE_NOT_FOUND" }] });
    const ledgers = await Promise.all([dev, own].map((as) => send("GET", "/waymark/v1/ledger", undefined, as)));
    expect(ledgers.map(({ body }) => body.total.counted)).toEqual([1, 1]);
    await eventually(async () => {
      for (const [as, id] of [
        [dev, "test-1"],
        [own, "live-1"],
      ] as const) {
        const { body } = await send("GET", "/analytics/v1/events", undefined, as);
        expect(body.json.events.map((event: { id: string }) => event.id)).toEqual([id]);
      }
    });
  });
});
