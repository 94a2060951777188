import { afterAll, beforeAll, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";

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
    (await waymark.call("GET", "/analytics/v1/metrics/events?explain=true", { key: tester })).body.explanation,
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
