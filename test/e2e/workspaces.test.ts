import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { MILLIS } from "./house-keys.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
const send = (method: string, path: string, body: unknown, key: string) => waymark.call(method, path, { key, body });
const get = (path: string, key: string) => waymark.call("GET", path, { key });

beforeAll(async () => {
  waymark = await startWaymark();
});
afterAll(() => waymark?.stop());

describe("a workspace", () => {
  const DEFAULTS = {
    ip: "truncated",
    userAgent: "full",
    place: "city",
    deviceIdentity: "stable",
    respectGpc: true,
    consentRequired: false,
  };

  it("is made by an admin with a first key, and shown to that key", async () => {
    const made = await send(
      "POST",
      "/waymark/v1/workspaces",
      { name: "Hotel", id: "hotel", ownerEmail: "o@example.com" },
      ADMIN_KEY,
    );
    expect([made.status, Object.keys(made.body)]).toEqual([201, ["workspace", "key", "secret"]]);
    expect(made.body.workspace).toStrictEqual({
      id: "hotel",
      name: "Hotel",
      timezone: "UTC",
      plan: "self-hosted",
      privacy: DEFAULTS,
      retention: { scansDays: 0, threadsDays: 0, accessLogDays: 0 },
      createdAt: expect.stringMatching(MILLIS),
    });
    const shown = await get("/waymark/v1/workspace", made.body.secret);
    expect(shown.body).toStrictEqual(made.body.workspace);
    const members = await get("/v1/organizations/hotel/members", made.body.secret);
    expect(members.body.members).toMatchObject([{ email: "o@example.com", role: "admin" }]);
    const taken = await send("POST", "/waymark/v1/workspaces", { name: "Hotel", id: "hotel" }, ADMIN_KEY);
    expect([taken.status, taken.body.code]).toEqual([409, "WORKSPACE_EXISTS"]);
  });

  it("is made and listed by the admin of the workspace default alone", async () => {
    const { key } = await waymark.workspace("Ordinary");
    for (const answer of [
      await send("POST", "/waymark/v1/workspaces", { name: "X" }, key),
      await get("/waymark/v1/workspaces", key),
    ])
      expect([answer.status, answer.body.title]).toEqual([403, "Forbidden"]);
    const { body } = await get("/waymark/v1/workspaces?pageSize=1", ADMIN_KEY);
    expect(body.workspaces).toMatchObject([{ id: "default" }]);
    const rest = await get(`/waymark/v1/workspaces?pageToken=${body.nextPageToken}`, ADMIN_KEY);
    expect(rest.body.workspaces.map(({ name }: { name: string }) => name)).toEqual(["Hotel", "Ordinary"]);
  });

  it("is changed by what is given, and keeps the rest", async () => {
    const { key } = await waymark.workspace("Changing");
    const patch = { name: "Changed", timezone: "Europe/Berlin", privacy: { ip: "none" }, retention: { scansDays: 30 } };
    const changed = await send("PATCH", "/waymark/v1/workspace", patch, key);
    expect([changed.status, changed.body]).toMatchObject([
      200,
      {
        name: "Changed",
        timezone: "Europe/Berlin",
        privacy: { ...DEFAULTS, ip: "none" },
        retention: { scansDays: 30, threadsDays: 0, accessLogDays: 0 },
      },
    ]);
    const again = await send(
      "PATCH",
      "/waymark/v1/workspace",
      { privacy: { place: "country", respectGpc: false } },
      key,
    );
    expect(again.body).toStrictEqual({
      ...changed.body,
      privacy: { ...DEFAULTS, ip: "none", place: "country", respectGpc: false },
    });
    expect((await get("/waymark/v1/workspace", key)).body).toStrictEqual(again.body);
  });

  it.each<[object, string]>([
    [{ name: "" }, "name"],
    [{ timezone: "Mars" }, "timezone"],
    [{ privacy: { ip: "some" } }, "privacy.ip"],
    [{ privacy: { respectGpc: "yes" } }, "privacy.respectGpc"],
    [{ retention: { scansDays: -1 } }, "retention.scansDays"],
    [{ privacy: "none" }, "privacy"],
  ])("is not changed by %j", async (wrong, field) => {
    const { key } = await waymark.workspace("Steady");
    const was = await get("/waymark/v1/workspace", key);
    const answer = await send("PATCH", "/waymark/v1/workspace", { timezone: "Asia/Tokyo", ...wrong }, key);
    expect([answer.status, answer.body.code]).toMatchObject([400, expect.stringMatching(/INVALID|UNKNOWN/)]);
    expect(answer.body.detail).toContain(field);
    expect((await get("/waymark/v1/workspace", key)).body).toStrictEqual(was.body);
  });
});

describe("what a workspace collects holds for the scans that follow at once", () => {
  it.each([
    ["country", { country: "US", region: null, city: null }],
    ["none", { country: null, region: null, city: null }],
  ])("place %s", async (place, kept) => {
    const { key } = await waymark.workspace("Places");
    const code = await makeCode(waymark, key, {});
    await sendScans(waymark, key, [{ qpr_code_id: code.id, ip: "8.8.8.8" }]);
    await send("PATCH", "/waymark/v1/workspace", { privacy: { place } }, key);
    await sendScans(waymark, key, [{ id: "after", qpr_code_id: code.id, country: "US", city: "Boston" }]);
    expect((await get("/v1/scans/after", key)).body).toMatchObject(kept);
  });

  it("device identity none", async () => {
    const { key } = await waymark.workspace("Devices");
    const code = await makeCode(waymark, key, {});
    await send("PATCH", "/waymark/v1/workspace", { privacy: { deviceIdentity: "none" } }, key);
    await sendScans(waymark, key, [{ qpr_code_id: code.id, device_id: "a", ip: "8.8.8.8", user_agent: PHONE }]);
    const { body } = await get(`/v1/qpr-codes/${code.id}/analytics`, key);
    expect(body).toMatchObject({ scans_total: 1, scans_unique_devices: 0 });
  });

  it("device identity daily", async () => {
    const { key } = await waymark.workspace("Days");
    const code = await makeCode(waymark, key, {});
    await send("PATCH", "/waymark/v1/workspace", { privacy: { deviceIdentity: "daily" } }, key);
    const on = (scanned_at: string) => ({ qpr_code_id: code.id, device_id: "a", scanned_at });
    await sendScans(waymark, key, [on("2026-03-01T10:00:00Z"), on("2026-03-01T20:00:00Z"), on("2026-03-02T10:00:00Z")]);
    const { body } = await get(`/v1/qpr-codes/${code.id}/analytics?period=all`, key);
    expect(body).toMatchObject({ scans_total: 3, scans_unique_devices: 2 });
  });
});

it("all scopes are listed to anyone, with a sentence each", async () => {
  const { status, body } = await waymark.call("GET", "/waymark/v1/scopes");
  expect(status).toBe(200);
  const names = body.scopes.map(({ name }: { name: string }) => name);
  const resources = [
    "codes",
    "scans",
    "impressions",
    "tags",
    "emergency",
    "touchpoints",
    "analytics",
    "visitors",
    "exports",
    "webhooks",
    "keys",
    "privacy",
  ];
  expect(new Set(names)).toEqual(
    new Set([...resources.flatMap((of) => [`${of}:read`, `${of}:write`]), "audit:read", "ledger:read", "admin"]),
  );
  for (const { description } of body.scopes) expect(description).toMatch(/^[A-Z].*\.$/);
});
