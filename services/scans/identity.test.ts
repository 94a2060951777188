import { createHmac, randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { DeviceIdentitySetting, PrivacySchema } from "#gen/waymark/access/v1/authority_pb.ts";
import { keyedHash, mayIdentify, openIdentities, wishesOf } from "./identity.ts";

const { STABLE, DAILY, NONE } = DeviceIdentitySetting;
const signs = {
  workspace: "w",
  scannedAt: Date.UTC(2026, 2, 1, 12),
  deviceId: "",
  ip: "192.0.2.1",
  userAgent: "phone",
};

describe("a device's pseudonym", () => {
  const identities = openIdentities(Buffer.alloc(32, 7));
  const same = identities.of(signs, STABLE);

  it("is equal for equal signs, at any time", () => {
    expect(same).toMatch(/^[\w-]{22}$/);
    expect(identities.of({ ...signs, scannedAt: 0 }, STABLE)).toBe(same);
    expect(openIdentities(Buffer.alloc(32, 7)).of(signs, STABLE)).toBe(same);
  });

  it.each([
    ["another address", { ip: "192.0.2.2" }],
    ["another user agent", { userAgent: "tablet" }],
    ["another workspace", { workspace: "v" }],
    ["the client's own pseudonym", { deviceId: "192.0.2.1" }],
  ])("differs with %s", (_case, other) => expect(identities.of({ ...signs, ...other }, STABLE)).not.toBe(same));

  it("differs with the key", () => {
    expect(openIdentities(Buffer.alloc(32, 8)).of(signs, STABLE)).not.toBe(same);
  });

  it("is the client's own pseudonym hashed, whatever the address", () => {
    const own = { ...signs, deviceId: "d-1" };
    expect(identities.of(own, STABLE)).toBe(identities.of({ ...own, ip: "", userAgent: "" }, STABLE));
    expect(identities.of(own, STABLE)).not.toContain("d-1");
  });

  it("holds for a day (UTC) where the workspace wants it so", () => {
    const at = (scannedAt: number) => identities.of({ ...signs, scannedAt }, DAILY);
    expect(at(Date.UTC(2026, 2, 1))).toBe(at(Date.UTC(2026, 2, 1, 23, 59)));
    expect(at(Date.UTC(2026, 2, 1))).not.toBe(at(Date.UTC(2026, 2, 2)));
  });

  it("is empty when nothing is known, or nothing may be recognised", () => {
    expect(identities.of({ ...signs, ip: "", userAgent: "" }, STABLE)).toBe("");
    expect(identities.of(signs, NONE)).toBe("");
  });
});

describe("what a device wants", () => {
  const privacy = (over: object) => create(PrivacySchema, { respectGpc: true, ...over });
  const may = (headers: Record<string, string>, over: object = {}, hasOwnPseudonym = false) =>
    mayIdentify({ privacy: privacy(over), wishes: wishesOf(headers), hasOwnPseudonym });

  it.each([
    ["nothing", {}, {}, false, { device: true, address: true }],
    ["GPC", { "sec-gpc": "1" }, {}, false, { device: false, address: false }],
    ["DNT", { dnt: "1" }, {}, true, { device: false, address: false }],
    [
      "GPC where it is not respected",
      { "sec-gpc": "1" },
      { respectGpc: false },
      false,
      { device: true, address: true },
    ],
    ["no consent where it is required", {}, { consentRequired: true }, false, { device: false, address: true }],
    ["consent", { "x-waymark-consent": "granted" }, { consentRequired: true }, false, { device: true, address: true }],
    ["its app's own pseudonym", {}, { consentRequired: true }, true, { device: true, address: true }],
  ])("%s", (_case, headers, over, own, expected) => expect(may(headers, over, own)).toEqual(expected));
});

it("the keyed hash is HMAC-SHA256", () => {
  for (const length of [0, 1, 55, 56, 64, 500]) {
    const key = randomBytes(32);
    const text = randomBytes(length).toString("latin1");
    expect(keyedHash(key)(text)).toBe(createHmac("sha256", key).update(text, "utf8").digest("base64url"));
  }
});
