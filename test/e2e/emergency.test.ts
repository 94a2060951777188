import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { eventually } from "./eventually.ts";
import { MEDICAL, MILLIS, makeTag } from "./house-keys.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;
const owner = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });
const look = (encryptedId: string, headers: Record<string, string> = {}) =>
  waymark.call("GET", `/api/v1/scan/${encryptedId}/emergency`, { headers });

beforeAll(async () => {
  waymark = await startWaymark({ WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8" });
  key = (await waymark.workspace("Wearer")).key;
});
afterAll(() => waymark?.stop());

async function wristband(more: Record<string, unknown> = {}, profile: object = MEDICAL) {
  const tag = await makeTag(waymark, key, { itemName: "Medical ID", tagType: "MEDICAL", ...more });
  const stored = await owner("PUT", `/api/v1/tags/${tag.id}/emergency`, profile);
  expect(stored.status).toBe(200);
  return tag;
}

describe("the documented emergency information", () => {
  it("is answered word for word, to anyone", async () => {
    const { encryptedId } = await wristband();
    const { status, body } = await look(encryptedId);
    expect([status, body]).toStrictEqual([200, { success: true, data: MEDICAL }]);
    expect(Object.keys(body.data)).toEqual(Object.keys(MEDICAL));
  });

  it("is announced by the scan of the tag", async () => {
    const { encryptedId } = await wristband();
    const { body } = await waymark.call("GET", `/api/v1/scan/${encryptedId}`);
    expect(body.data.emergencyAvailable).toBe(true);
    expect(JSON.stringify(body)).not.toContain("Penicillin");
  });

  it("is shown for a private tag, and whatever its status", async () => {
    const tag = await wristband({ isPrivate: true });
    expect((await look(tag.encryptedId)).body.data).toStrictEqual(MEDICAL);
    for (const status of ["LOST", "DEACTIVATED", "ACTIVE", "EXPIRED"]) {
      expect((await owner("PATCH", `/api/v1/tags/${tag.id}`, { status })).status).toBe(200);
      expect((await look(tag.encryptedId)).body.data).toStrictEqual(MEDICAL);
    }
  });

  it("has null and empty lists for what is not said", async () => {
    const { encryptedId } = await wristband({}, { bloodType: "A-" });
    expect((await look(encryptedId)).body.data).toStrictEqual({
      bloodType: "A-",
      conditions: [],
      allergies: [],
      medications: [],
      physician: null,
      physicianPhone: null,
      specialInstructions: null,
      organDonor: null,
      emergencyContacts: [],
    });
  });

  it("is 404 when none is stored, when it is removed, and for an unknown code", async () => {
    const bare = await makeTag(waymark, key, { tagType: "MEDICAL" });
    const removed = await wristband();
    expect((await owner("DELETE", `/api/v1/tags/${removed.id}/emergency`)).status).toBe(204);
    for (const encryptedId of [bare.encryptedId, removed.encryptedId, "aGVsbG8td29ybGQ"]) {
      const { status, body } = await look(encryptedId);
      expect([status, body.success, body.error.code]).toEqual([404, false, "NOT_FOUND"]);
    }
    expect((await owner("GET", `/api/v1/tags/${removed.id}/emergency`)).status).toBe(404);
    expect((await owner("GET", `/api/v1/tags/${removed.id}`)).body.data.emergencyAvailable).toBe(false);
  });

  it("is stored in place of what was there", async () => {
    const tag = await wristband();
    await owner("PUT", `/api/v1/tags/${tag.id}/emergency`, { conditions: ["Asthma"] });
    expect((await look(tag.encryptedId)).body.data).toMatchObject({ bloodType: null, conditions: ["Asthma"] });
    expect((await owner("GET", `/api/v1/tags/${tag.id}/emergency`)).body.data.conditions).toEqual(["Asthma"]);
  });

  it("lies in the data folder encrypted", async () => {
    await wristband({ itemName: "Band to be seen" });
    const files = readdirSync(waymark.data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const bytes = Buffer.concat(files.map((file) => readFileSync(join(file.parentPath, file.name))));
    expect(bytes.includes("Band to be seen")).toBe(true);
    for (const word of ["Penicillin", "Metformin", "Sarah Johnson", "insulin pen", "123-4567"])
      expect([word, bytes.includes(word)]).toEqual([word, false]);
  });
});

describe("every look", () => {
  it("is in the access log, with a coarse address, in a chain that holds", async () => {
    const tag = await wristband();
    await look(tag.encryptedId, { "x-forwarded-for": "203.0.113.77" });
    await look(tag.encryptedId, { "x-forwarded-for": "2001:db8:aaaa:bbbb::1" });
    await Promise.all(Array.from({ length: 5 }, () => look(tag.encryptedId)));
    const { body } = await owner("GET", `/api/v1/tags/${tag.id}/emergency/accesses?limit=10`);
    expect(body.meta).toEqual({ total: 7, page: 1, totalPages: 1 });
    expect(body.data.map(({ sequence }: { sequence: number }) => sequence)).toEqual([7, 6, 5, 4, 3, 2, 1]);
    expect(body.data[6]).toMatchObject({ ip: "203.0.113.0", accessedAt: expect.stringMatching(MILLIS) });
    expect(body.data[5]).toMatchObject({ ip: "2001:db8:aaaa::" });
    for (const [index, entry] of body.data.entries())
      expect(entry.previousHash).toBe(body.data[index + 1]?.hash ?? "0".repeat(64));
    const verified = await owner("GET", `/api/v1/tags/${tag.id}/emergency/accesses:verify`);
    expect(verified.body.data).toEqual({ entries: 7, intact: true, head: body.data[0].hash });
  });

  it("of a person is a medical touch: in the ledger, and in no marketing product", async () => {
    const { key: own } = await waymark.workspace("Walled");
    const tag = await makeTag(waymark, own, { tagType: "MEDICAL" });
    await waymark.call("PUT", `/api/v1/tags/${tag.id}/emergency`, { key: own, body: MEDICAL });
    await waymark.call("GET", `/api/v1/scan/${tag.encryptedId}`, { headers: { "user-agent": PHONE } });
    await look(tag.encryptedId);
    const get = (path: string) => waymark.call("GET", path, { key: own });
    await eventually(async () => {
      const { body } = await get("/waymark/v1/ledger");
      expect(body.total.counted).toBeGreaterThanOrEqual(1);
      expect(body.total.pending).toBe(0);
    });
    expect((await get("/v1/scans?include_bots=true")).body.total).toBe(0);
    expect((await get("/api/v1/impressions")).body.total).toBe(0);
    expect((await get("/analytics/v1/events")).body.json.totalCount).toBe("0");
  });

  it("is shown to the owner alone", async () => {
    const tag = await wristband();
    const neighbour = await waymark.workspace("Neighbour");
    for (const path of ["emergency", "emergency/accesses", "emergency/accesses:verify"]) {
      expect((await waymark.call("GET", `/api/v1/tags/${tag.id}/${path}`)).status).toBe(401);
      expect((await waymark.call("GET", `/api/v1/tags/${tag.id}/${path}`, { key: neighbour.key })).status).toBe(404);
    }
    const answer = await waymark.call("PUT", `/api/v1/tags/${tag.id}/emergency`, { key: neighbour.key, body: {} });
    expect(answer.status).toBe(404);
  });
});

it.each<[object, string]>([
  [{ bloodType: "x".repeat(11) }, "bloodType"],
  [{ conditions: "Diabetes" }, "conditions"],
  [{ conditions: [""] }, "conditions[0]"],
  [{ conditions: Array.from({ length: 51 }, () => "x") }, "conditions"],
  [{ organDonor: "yes" }, "organDonor"],
  [{ emergencyContacts: [{ name: "John" }] }, "emergencyContacts[0].phone"],
  [{ emergencyContacts: [{ phone: "1" }] }, "emergencyContacts[0].name"],
])("refuses %j and says nothing of what was stored", async (wrong, field) => {
  const tag = await wristband();
  const { status, body } = await owner("PUT", `/api/v1/tags/${tag.id}/emergency`, wrong);
  expect([status, body.error.code]).toEqual([400, "VALIDATION_ERROR"]);
  expect(Object.keys(body.error.details)).toEqual([field]);
  expect((await look(tag.encryptedId)).body.data).toStrictEqual(MEDICAL);
});
