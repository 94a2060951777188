import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";

let waymark: Waymark;
let key: string;
const send = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Hotel Group")).key;
});
afterAll(() => waymark?.stop());

describe("the documented creation of a code", () => {
  it("answers the documented object with our own fields beside it", async () => {
    const { status, body } = await send("POST", "/v1/qpr-codes", {
      id: "qpr_01HXYZ789ABC",
      short_id: "hc9m3r",
      name: "Hotel Room Concierge",
      prompt: "You are the concierge of a hotel.",
      template: "hospitality",
    });
    expect(status).toBe(200);
    const { created_at, updated_at, ...rest } = body;
    expect(rest).toStrictEqual({
      id: "qpr_01HXYZ789ABC",
      name: "Hotel Room Concierge",
      short_id: "hc9m3r",
      scan_url: `${waymark.url}/s/hc9m3r`,
      qr_image_url: `${waymark.url}/qr/hc9m3r.png`,
      qr_svg_url: `${waymark.url}/qr/hc9m3r.svg`,
      template: "hospitality",
      prompt: "You are the concierge of a hotel.",
      welcome_message: null,
      status: "active",
      scans_total: 0,
      metadata: {},
      destination: null,
      routing: null,
      tags: [],
    });
    expect(created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(updated_at).toBe(created_at);
  });

  it("makes an id and a short id when none are wanted", async () => {
    const body = await makeCode(waymark, key, {});
    expect(body.id).toMatch(/^qpr_[0-9A-Za-z]+$/);
    expect(body.short_id).toMatch(/^[a-z0-9]{6}$/);
  });

  it("gives back what was sent", async () => {
    const sent = {
      name: "Spring",
      prompt: "Sell.",
      welcome_message: "Hello!",
      template: "retail",
      metadata: { region: "north", list: [1, { deep: null }] },
      destination: "https://example.com/spring?utm_source=qr",
      tags: ["spring", "2026"],
      routing: {
        rules: [
          {
            name: "phones",
            when: { device: ["mobile"], country: ["US"], language: ["en"], days: ["mon"], hours: "09:00-17:00" },
            destination: "https://example.com/m",
          },
          { when: { scans_below: 10 }, split: [{ weight: 1, destination: "https://example.com/a" }] },
        ],
      },
    };
    const made = await send("POST", "/v1/qpr-codes", sent);
    expect(made.body).toMatchObject(sent);
    expect((await send("GET", `/v1/qpr-codes/${made.body.id}`)).body).toStrictEqual(made.body);
  });

  it.each<[string, object, string]>([
    ["no name", { name: undefined }, "name"],
    ["an empty name", { name: "" }, "name"],
    ["no prompt", { prompt: undefined }, "prompt"],
    ["a name of 201 characters", { name: "x".repeat(201) }, "name"],
    ["an unknown template", { template: "circus" }, "template"],
    ["a destination that runs", { destination: "javascript:alert(1)" }, "destination"],
    ["a destination that is no URL", { destination: "example.com" }, "destination"],
    ["a short id with a slash", { short_id: "a/b" }, "short_id"],
    [
      "an hour that does not exist",
      { routing: { rules: [{ when: { hours: "25:00-26:00" }, destination: "https://a.b" }] } },
      "routing.rules[0].when.hours",
    ],
    ["a rule that leads nowhere", { routing: { rules: [{ when: {} }] } }, "routing.rules[0]"],
    ["a list as metadata", { metadata: [] }, "metadata"],
    ["a number as tag", { tags: [1] }, "tags[0]"],
  ])("refuses %s and names the field", async (_case, wrong, field) => {
    const answer = await send("POST", "/v1/qpr-codes", { name: "A", prompt: "B", ...wrong });
    expect([answer.status, answer.body.code]).toEqual([400, "INVALID_FIELD"]);
    expect(answer.body.detail).toContain(field);
  });

  it("refuses a taken id or short id as a conflict", async () => {
    const { id, short_id } = await makeCode(waymark, key, {});
    for (const wanted of [{ id }, { short_id }]) {
      const answer = await send("POST", "/v1/qpr-codes", { name: "A", prompt: "B", ...wanted });
      expect([answer.status, answer.body.status]).toEqual([409, 409]);
      expect(answer.body.title).toBe("Conflict");
    }
  });
});

describe("the list of codes", () => {
  it("is newest first, twenty a page, with a total", async () => {
    const { key: own } = await waymark.workspace("Lister");
    const names = Array.from({ length: 23 }, (_, index) => `Code ${index}`);
    for (const name of names) await makeCode(waymark, own, { name });
    const page = async (query: string) => (await waymark.call("GET", `/v1/qpr-codes${query}`, { key: own })).body;
    const first = await page("");
    expect(Object.keys(first)).toEqual(["qpr_codes", "total", "limit", "offset"]);
    expect(first).toMatchObject({ total: 23, limit: 20, offset: 0 });
    const rest = await page("?offset=20");
    const named = [...first.qpr_codes, ...rest.qpr_codes].map(({ name }: { name: string }) => name);
    expect(named).toEqual(names.toReversed());
    expect(Object.keys(first.qpr_codes[0])).toContain("scan_url");
  });

  it("counts what people scanned", async () => {
    const code = await makeCode(waymark, key, {});
    await sendScans(waymark, key, [{ qpr_code_id: code.id }, { qpr_code_id: code.id, user_agent: "Googlebot" }]);
    expect((await send("GET", `/v1/qpr-codes/${code.id}`)).body.scans_total).toBe(1);
    const { body } = await send("GET", "/v1/qpr-codes?limit=1");
    expect(body.qpr_codes[0]).toMatchObject({ id: code.id, scans_total: 1 });
  });
});

describe("a change", () => {
  it("changes what is given and keeps the rest; null clears", async () => {
    const code = await makeCode(waymark, key, { welcome_message: "Hi", destination: "https://a.example", tags: ["x"] });
    const renamed = await send("PATCH", `/v1/qpr-codes/${code.id}`, { name: "Renamed" });
    expect(renamed.body).toMatchObject({ name: "Renamed", welcome_message: "Hi", destination: "https://a.example" });
    const cleared = await send("PATCH", `/v1/qpr-codes/${code.id}`, {
      welcome_message: null,
      destination: null,
      tags: [],
    });
    expect(cleared.body).toMatchObject({ name: "Renamed", welcome_message: null, destination: null, tags: [] });
    expect((await send("GET", `/v1/qpr-codes/${code.id}`)).body).toStrictEqual(cleared.body);
  });

  it("is refused as a whole when one field is wrong", async () => {
    const code = await makeCode(waymark, key, {});
    const answer = await send("PATCH", `/v1/qpr-codes/${code.id}`, { name: "Other", destination: "ftp://a" });
    expect([answer.status, answer.body.code]).toEqual([400, "INVALID_FIELD"]);
    expect((await send("GET", `/v1/qpr-codes/${code.id}`)).body.name).toBe(code.name);
  });
});

describe("a deleted code", () => {
  it("is unknown from then on, its scans are kept, and new ones are rejected", async () => {
    const code = await makeCode(waymark, key, {});
    await sendScans(waymark, key, [{ id: `kept-${code.id}`, qpr_code_id: code.id }]);
    const deleted = await send("DELETE", `/v1/qpr-codes/${code.id}`);
    expect([deleted.status, deleted.text]).toEqual([204, ""]);
    for (const [method, body] of [["GET"], ["DELETE"], ["PATCH", { name: "x" }]] as const)
      expect((await send(method, `/v1/qpr-codes/${code.id}`, body)).status, method).toBe(404);
    expect((await send("GET", `/v1/scans/kept-${code.id}`)).status).toBe(200);
    const late = await sendScans(waymark, key, [{ qpr_code_id: code.id }]);
    expect(late.body).toMatchObject({ accepted: 0, rejected: [{ index: 0, code: "CODE_NOT_FOUND" }] });
    const again = await send("POST", "/v1/qpr-codes", { name: "A", prompt: "B", short_id: code.short_id });
    expect(again.status).toBe(409);
  });
});

describe("the account", () => {
  it("makes, lists and revokes keys in the documented shapes", async () => {
    const made = await send("POST", "/v1/api-keys", { name: "CI" });
    expect([made.status, Object.keys(made.body)]).toEqual([200, ["id", "name", "key", "created_at"]]);
    const works = () => waymark.call("GET", "/v1/scans", { key: made.body.key });
    expect((await works()).status).toBe(200);
    const { body } = await send("GET", "/v1/api-keys");
    const listed = body.keys.find(({ id }: { id: string }) => id === made.body.id);
    expect(listed).toMatchObject({ id: made.body.id, name: "CI", revoked: false, created_at: made.body.created_at });
    expect(Object.keys(listed).sort()).toEqual(["created_at", "id", "last_used_at", "name", "revoked"]);
    expect((await send("DELETE", `/v1/api-keys/${made.body.id}`)).status).toBe(204);
    expect((await works()).status).toBe(403);
  });

  it("shows the organization and its members", async () => {
    const { body } = await send("GET", "/v1/organizations");
    expect(body.total).toBe(1);
    const [organization] = body.organizations;
    expect(Object.keys(organization)).toEqual([
      "id",
      "name",
      "slug",
      "plan",
      "qpr_codes_count",
      "members_count",
      "created_at",
    ]);
    expect(organization).toMatchObject({ name: "Hotel Group", slug: "hotel-group" });
    expect(organization.qpr_codes_count).toBe((await send("GET", "/v1/qpr-codes")).body.total);
    const members = await send("GET", `/v1/organizations/${organization.id}/members`);
    expect([members.status, Object.keys(members.body)]).toEqual([200, ["members"]]);
  });
});
