import { afterAll, beforeAll, expect, it } from "vitest";
import { ADMIN_KEY, startWaymark, type Waymark } from "../support/waymark.ts";
import { eventually } from "./eventually.ts";
import { MILLIS } from "./house-keys.ts";

let waymark: Waymark;
let key: string;
beforeAll(async () => {
  waymark = await startWaymark();
  ({ key } = await waymark.workspace("Tokens"));
});
afterAll(() => waymark.stop());

const path = "/analytics/v1/workspace-tokens";
const SECRET = "WORKSPACE_TOKEN_KEY_TYPE_SECRET";
const make = (body: object, by = key) => waymark.call("POST", path, { key: by, body });

it("a token does what its scopes say, is listed, and ends when it is deleted", async () => {
  const made = await make({
    keyType: SECRET,
    name: "BI",
    scopes: ["API_SCOPE_LINKS_WRITE", "API_SCOPE_ANALYTICS_READ"],
  });
  expect(made.status).toBe(200);
  const { accessToken, token } = made.body;
  expect(token).toMatchObject({ name: "BI", keyType: SECRET, keyClass: "production", fullAccess: false });
  expect(token.scopes.sort()).toEqual(["API_SCOPE_ANALYTICS_READ", "API_SCOPE_LINKS_READ", "API_SCOPE_LINKS_WRITE"]);
  expect((await waymark.call("GET", "/analytics/v1/events", { key: accessToken })).status).toBe(200);
  expect((await waymark.call("GET", "/analytics/v1/visitors", { key: accessToken })).status).toBe(403);
  const link = { destination: "https://example.com" };
  expect((await waymark.call("POST", "/analytics/v1/links", { key: accessToken, body: link })).status).toBe(200);
  const listed = await waymark.call("GET", path, { key });
  expect(listed.body.tokens.map(({ id }: { id: string }) => id)).toContain(token.id);
  const one = await waymark.call("GET", `${path}/${token.id}`, { key });
  expect(one.body.token).toMatchObject({ id: token.id, workspaceId: token.workspaceId });
  expect(one.text).not.toContain(accessToken);
  expect((await waymark.call("DELETE", `${path}/${token.id}`, { key })).body).toEqual({});
  expect((await waymark.call("GET", `${path}/${token.id}`, { key })).status).toBe(404);
  expect((await waymark.call("GET", "/analytics/v1/events", { key: accessToken })).status).toBe(403);
});

it("an analytics token only reads, a development one sees test data, neither grants more than it has", async () => {
  const reader = (await make({ keyType: SECRET, keyClass: "analytics" })).body;
  expect(reader.token.fullAccess).toBe(true);
  expect((await waymark.call("GET", "/analytics/v1/metrics/events", { key: reader.accessToken })).status).toBe(200);
  expect((await make({ keyType: SECRET }, reader.accessToken)).status).toBe(403);
  const wrong = await make({ keyType: SECRET, keyClass: "analytics", scopes: ["API_SCOPE_LINKS_WRITE"] });
  expect([wrong.status, wrong.body.error.message]).toEqual([400, expect.stringContaining("scopes[0]")]);
  const tester = (await make({ keyType: SECRET, keyClass: "development" })).body.accessToken;
  expect(
    (await waymark.call("GET", "/analytics/v1/metrics/events?explain=true", { key: tester })).body.explain,
  ).toMatchObject({
    shownFromReason: "KEY_CLASS",
  });
  const { key: other } = await waymark.workspace("Other");
  expect((await waymark.call("GET", `${path}/${reader.token.id}`, { key: other })).status).toBe(404);
});

it("scopes are told to anyone, and impossible tokens are refused by name", async () => {
  const { status, body } = await waymark.call("GET", "/analytics/v1/api-scopes");
  expect(status).toBe(200);
  expect(body.scopes).toContainEqual({
    scope: "API_SCOPE_LINKS_READ",
    name: "links:read",
    resource: "links",
    access: "API_SCOPE_ACCESS_READ",
    description: "Read QR codes, links, routing and their pictures.",
  });
  for (const [bad, field] of [
    [{}, "keyType"],
    [{ keyType: "NO_TYPE" }, "keyType"],
    [{ keyType: SECRET, scopes: ["API_SCOPE_MOON_READ"] }, "scopes[0]"],
    [{ keyType: SECRET, keyClass: "royal" }, "keyClass"],
    [{ keyType: "WORKSPACE_TOKEN_KEY_TYPE_PUBLISHABLE" }, "origins"],
  ] as const) {
    const answer = await make(bad);
    expect([answer.status, answer.body.error.message]).toEqual([400, expect.stringContaining(field)]);
  }
});

it("a token is a key: what is made here is among the keys, and the other way round", async () => {
  const { token } = (await make({ keyType: SECRET, name: "Here" })).body;
  const keys = "/waymark/v1/keys";
  const there = await waymark.call("GET", `${keys}/${token.id}`, { key });
  expect(there.body).toMatchObject({ id: token.id, name: "Here", class: "production" });
  const body = { name: "There", class: "analytics", scopes: ["analytics:read"] };
  const made = (await waymark.call("POST", keys, { key, body })).body;
  const here = await waymark.call("GET", `${path}/${made.key.id}`, { key });
  expect(here.body.token).toMatchObject({ name: "There", keyClass: "analytics", scopes: ["API_SCOPE_ANALYTICS_READ"] });
  const rotated = await waymark.call("POST", `${keys}/${token.id}:rotate`, { key, body: { overlapSeconds: 0 } });
  expect((await waymark.call("GET", "/analytics/v1/events", { key: rotated.body.secret })).status).toBe(200);
  expect((await waymark.call("DELETE", `${keys}/${made.key.id}`, { key })).status).toBe(204);
  expect((await waymark.call("GET", `${path}/${made.key.id}`, { key })).status).toBe(404);
  expect((await waymark.call("DELETE", `${path}/${made.key.id}`, { key })).status).toBe(200);
});

it("a token tells when it was used last, and never did before it was used", async () => {
  const { accessToken, token } = (await make({ keyType: SECRET })).body;
  const lastUsedAt = async () => (await waymark.call("GET", `${path}/${token.id}`, { key })).body.token.lastUsedAt;
  expect(await lastUsedAt()).toBeUndefined();
  const before = Date.now();
  await waymark.call("GET", "/analytics/v1/events", { key: accessToken });
  await eventually(async () => expect(await lastUsedAt()).toMatch(MILLIS));
  expect(Math.abs(Date.parse(await lastUsedAt()) - before)).toBeLessThan(10_000);
});

it("a token has at most what its maker has, named or not", async () => {
  const narrow = (await make({ keyType: SECRET, scopes: ["API_SCOPE_TOKENS_WRITE", "API_SCOPE_ANALYTICS_READ"] })).body;
  const all = await make({ keyType: SECRET }, narrow.accessToken);
  expect(all.body.token.allScopes.sort()).toEqual(["analytics:read", "keys:read", "keys:write"]);
  expect(all.body.token.fullAccess).toBe(false);
  const more = await make({ keyType: SECRET, scopes: ["API_SCOPE_LINKS_READ"] }, narrow.accessToken);
  expect([more.status, more.body.error.message]).toEqual([403, expect.stringContaining("codes:read")]);
});

it("tokens come in pages, newest first, without those that are revoked and without admins' keys", async () => {
  const { key: own } = await waymark.workspace("Pages");
  const names: string[] = [];
  for (const name of ["A", "B", "C", "D", "E"]) {
    const { token } = (await make({ keyType: SECRET, name }, own)).body;
    if (name === "C") await waymark.call("DELETE", `${path}/${token.id}`, { key: own });
  }
  for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
    const { body } = await waymark.call("GET", `${path}?pageSize=2&pageToken=${pageToken}`, { key: own });
    expect(body.tokens.length).toBeLessThanOrEqual(2);
    names.push(...body.tokens.map(({ name }: { name: string }) => name));
    pageToken = body.nextPageToken;
  }
  expect(names).toEqual(["E", "D", "B", "A", "first key"]);
  const whole = await waymark.call("GET", path, { key: own });
  expect(Object.keys(whole.body)).toEqual(["tokens"]);
  const admins = await waymark.call("GET", path, { key: ADMIN_KEY });
  expect(admins.body.tokens.map(({ name }: { name: string }) => name)).not.toContain("admin key");
  for (const query of ["pageSize=0", "pageToken=nonsense"]) {
    const wrong = await waymark.call("GET", `${path}?${query}`, { key: own });
    expect([wrong.status, wrong.body.error.message]).toEqual([
      400,
      expect.stringContaining(query.split("=")[0] as string),
    ]);
  }
});
