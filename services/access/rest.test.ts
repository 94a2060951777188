import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, type Call, startWaymark, type Waymark } from "../../test/support/waymark.ts";

let waymark: Waymark;
let key = "";
beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Hotel")).key;
});
afterAll(() => waymark.stop());

const call = (method: string, path: string, given: Call = {}) => waymark.call(method, path, { key, ...given });
const make = async (body: object) => (await call("POST", "/waymark/v1/keys", { body: { name: "shop", ...body } })).body;

/** Waits until a call is answered with a status, for two seconds at most: caches hear of a change through the log. */
async function becomes(status: number, attempt: () => Promise<{ status: number }>): Promise<void> {
  for (let tries = 0; (await attempt()).status !== status; tries += 1) {
    expect(tries).toBeLessThan(200);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe("a key over REST", () => {
  it("is made with 201, shown without its secret, and works in each of the three headers", async () => {
    const { status, body } = await call("POST", "/waymark/v1/keys", { body: { name: "shop", scopes: ["codes:read"] } });
    expect(status).toBe(201);
    expect(body.key).toMatchObject({ class: "production", scopes: ["codes:read"], expiresAt: null, ipAllowList: [] });
    const shown = await call("GET", `/waymark/v1/keys/${body.key.id}`);
    expect(shown.text).not.toContain(body.secret);
    const ways: Record<string, string>[] = [
      { authorization: `Bearer ${body.secret}` },
      { "x-api-key": body.secret },
      { "x-distinct-api-key": body.secret },
    ];
    for (const headers of ways) expect((await waymark.call("GET", "/v1/qpr-codes", { headers })).status).toBe(200);
  });

  it("is patched: null clears, what is absent stays", async () => {
    const { key: made } = await make({ scopes: ["codes:read"], ipAllowList: ["10.0.0.0/8"], expiresAt: "2099-01-01" });
    const path = `/waymark/v1/keys/${made.id}`;
    const steps: [object, object][] = [
      [{ name: "renamed" }, { name: "renamed", ipAllowList: ["10.0.0.0/8"], expiresAt: "2099-01-01T00:00:00.000Z" }],
      [{ expiresAt: "2098-01-01T02:00:00+02:00" }, { name: "renamed", expiresAt: "2098-01-01T00:00:00.000Z" }],
      [{ expiresAt: null }, { expiresAt: null, ipAllowList: ["10.0.0.0/8"] }],
      [{ ipAllowList: ["::1", "192.0.2.0/24"] }, { ipAllowList: ["::1", "192.0.2.0/24"] }],
      [{ ipAllowList: null }, { ipAllowList: [], name: "renamed" }],
    ];
    for (const [body, expected] of steps) {
      const answer = await call("PATCH", path, { body });
      expect([answer.status, answer.body]).toMatchObject([200, expected]);
    }
  });

  it.each<[object, string]>([
    [{ expiresAt: "soon" }, "expiresAt must be an ISO 8601 time with zone, or null"],
    [{ expiresAt: "2001-01-01" }, "expiresAt must be in the future"],
    [{ ipAllowList: ["office"] }, "ipAllowList[0] must be an address or CIDR, as 192.0.2.0/24"],
    [{ origins: ["shop"] }, "origins[0] must be a web origin, as https://shop.example"],
  ])("is not patched with %j", async (body, detail) => {
    const { key: made } = await make({ scopes: ["codes:read"] });
    expect(await call("PATCH", `/waymark/v1/keys/${made.id}`, { body })).toMatchObject({
      status: 400,
      body: { detail },
    });
  });

  it("that is rotated lets both secrets work, then the new one alone", async () => {
    const { key: made, secret } = await make({ scopes: ["codes:read"] });
    const use = (one: string) => waymark.call("GET", "/v1/qpr-codes", { key: one });
    const rotate = async (body: object) => (await call("POST", `/waymark/v1/keys/${made.id}:rotate`, { body })).body;
    expect((await use(secret)).status).toBe(200);
    const { secret: next } = await rotate({ overlapSeconds: 3600 });
    expect([(await use(secret)).status, (await use(next)).status]).toEqual([200, 200]);
    const { secret: last } = await rotate({});
    await becomes(403, () => use(secret));
    await becomes(403, () => use(next));
    expect((await use(last)).status).toBe(200);
  });

  it("that is revoked is 403, one that nobody made 401", async () => {
    const { key: made, secret } = await make({ scopes: ["codes:read"] });
    expect((await waymark.call("GET", "/v1/qpr-codes", { key: secret })).status).toBe(200);
    expect((await call("DELETE", `/waymark/v1/keys/${made.id}`)).status).toBe(204);
    await becomes(403, () => waymark.call("GET", "/v1/qpr-codes", { key: secret }));
    expect((await waymark.call("GET", "/v1/qpr-codes", { key: `${secret}x` })).status).toBe(401);
  });

  it("cannot be more than what made it, by making or by rotating", async () => {
    const { secret } = await make({ scopes: ["keys:write", "codes:read"] });
    const { key: stronger } = await make({ scopes: ["tags:read"] });
    const wanted = { name: "x", scopes: ["tags:read"] };
    expect((await call("POST", "/waymark/v1/keys", { key: secret, body: wanted })).status).toBe(403);
    expect((await call("POST", `/waymark/v1/keys/${stronger.id}:rotate`, { key: secret, body: {} })).status).toBe(403);
  });

  it("of another workspace is 404", async () => {
    const { key: made } = await make({ scopes: ["codes:read"] });
    expect((await waymark.call("GET", `/waymark/v1/keys/${made.id}`, { key: ADMIN_KEY })).status).toBe(404);
  });
});

describe("a workspace over REST", () => {
  it("is made by an admin of default with 201, and an id once", async () => {
    const body = { id: "inn", name: "Inn" };
    const made = await call("POST", "/waymark/v1/workspaces", { key: ADMIN_KEY, body });
    expect([made.status, made.body.workspace.id]).toEqual([201, "inn"]);
    expect((await call("POST", "/waymark/v1/workspaces", { key: ADMIN_KEY, body })).status).toBe(409);
    expect((await call("POST", "/waymark/v1/workspaces", { body: { name: "x" } })).status).toBe(403);
  });

  it("takes any subset of its settings", async () => {
    const body = {
      timezone: "Europe/Berlin",
      privacy: { ip: "none", respectGpc: false },
      retention: { scansDays: 30 },
    };
    const changed = await call("PATCH", "/waymark/v1/workspace", { body });
    expect([changed.status, changed.body]).toMatchObject([200, { ...body, name: "Hotel", plan: "self-hosted" }]);
    expect(changed.body.privacy).toMatchObject({ userAgent: "full", place: "city", deviceIdentity: "stable" });
    expect((await call("GET", "/waymark/v1/workspace")).body).toEqual(changed.body);
    expect((await call("PATCH", "/waymark/v1/workspace", { body: { privacy: { ip: "some" } } })).status).toBe(400);
  });
});
