import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { UpdateKeyRequestSchema } from "#gen/waymark/access/v1/keys_pb.ts";
import { reasonOf } from "#runtime/failure.ts";
import { changeOf } from "./key-change.ts";
import type { KeyDoc } from "./model.ts";

const NOW = Date.UTC(2026, 10, 24, 12);
const key: KeyDoc = {
  id: "key_1",
  name: "old",
  class: "production",
  scopes: [],
  prefix: "",
  hash: "",
  ipAllowList: ["::1"],
  origins: [],
  createdAt: 0,
};

/** The change that a JSON patch makes, as the gateway reads it: null of a Value is a value. */
function change(patch: Record<string, JsonValue>, on: Partial<KeyDoc> = {}) {
  const { name, ...values } = patch;
  const read = Object.fromEntries(Object.entries(values).map(([field, json]) => [field, fromJson(ValueSchema, json)]));
  const request = create(UpdateKeyRequestSchema, { keyId: "key_1", name: name as string | undefined, ...read });
  return changeOf(request, { key: { ...key, ...on }, now: NOW });
}

function refusal(patch: Record<string, JsonValue>, on: Partial<KeyDoc> = {}): string {
  try {
    return JSON.stringify(change(patch, on));
  } catch (error) {
    return `${reasonOf(error)?.reason} ${reasonOf(error)?.metadata.field}`;
  }
}

describe("a patch of a key", () => {
  it.each<[string, Record<string, JsonValue>, object]>([
    ["nothing when it is empty", {}, { set: {}, unset: [] }],
    ["the name", { name: "new" }, { set: { name: "new" }, unset: [] }],
    ["the end", { expiresAt: "2027-01-01T00:00:00Z" }, { set: { expiresAt: Date.UTC(2027, 0, 1) }, unset: [] }],
    ["the end to a day", { expiresAt: "2027-01-01" }, { set: { expiresAt: Date.UTC(2027, 0, 1) }, unset: [] }],
    [
      "the end to a minute",
      { expiresAt: "2027-01-01T10:30Z" },
      { set: { expiresAt: Date.UTC(2027, 0, 1, 10, 30) }, unset: [] },
    ],
    [
      "the end in a zone",
      { expiresAt: "2027-01-01t02:00:00.250+02:00" },
      { set: { expiresAt: Date.UTC(2027, 0, 1) + 250 }, unset: [] },
    ],
    ["the end to never by null", { expiresAt: null }, { set: {}, unset: ["expiresAt"] }],
    [
      "the allow-list",
      { ipAllowList: ["10.0.0.0/8", "::1"] },
      { set: { ipAllowList: ["10.0.0.0/8", "::1"] }, unset: [] },
    ],
    ["the allow-list to none by null", { ipAllowList: null }, { set: { ipAllowList: [] }, unset: [] }],
    ["the allow-list to none by []", { ipAllowList: [] }, { set: { ipAllowList: [] }, unset: [] }],
    ["the origins", { origins: ["https://Shop.example"] }, { set: { origins: ["https://shop.example"] }, unset: [] }],
    ["the origins to none by null", { origins: null }, { set: { origins: [] }, unset: [] }],
  ])("changes %s", (_case, patch, expected) => expect(change(patch)).toEqual(expected));

  it.each<[Record<string, JsonValue>, string]>([
    [{ expiresAt: "tomorrow" }, "INVALID_FIELD expires_at"],
    [{ expiresAt: "2027-01-01T00:00:00" }, "INVALID_FIELD expires_at"],
    [{ expiresAt: "2027-02-30" }, "INVALID_FIELD expires_at"],
    [{ expiresAt: "2027-02-30T00:00:00Z" }, "INVALID_FIELD expires_at"],
    [{ expiresAt: "2027-13-01" }, "INVALID_FIELD expires_at"],
    [{ expiresAt: "2027-01-01T25:00:00Z" }, "INVALID_FIELD expires_at"],
    [{ expiresAt: "" }, "INVALID_FIELD expires_at"],
    [{ expiresAt: 1_800_000_000_000 }, "INVALID_FIELD expires_at"],
    [{ expiresAt: false }, "INVALID_FIELD expires_at"],
    [{ expiresAt: "2026-11-24T12:00:00Z" }, "EXPIRY_PAST expires_at"],
    [{ expiresAt: "1999-01-01" }, "EXPIRY_PAST expires_at"],
    [{ ipAllowList: "10.0.0.0/8" }, "INVALID_FIELD ip_allow_list"],
    [{ ipAllowList: {} }, "INVALID_FIELD ip_allow_list"],
    [{ ipAllowList: ["10.0.0.0/8", 7] }, "INVALID_FIELD ip_allow_list[1]"],
    [{ ipAllowList: ["10.0.0.0/8", null] }, "INVALID_FIELD ip_allow_list[1]"],
    [{ ipAllowList: ["10.0.0.0/8", "office"] }, "ADDRESS_INVALID ip_allow_list[1]"],
    [{ ipAllowList: Array<string>(101).fill("::1") }, "INVALID_FIELD ip_allow_list"],
    [{ origins: true }, "INVALID_FIELD origins"],
    [{ origins: ["shop.example"] }, "ORIGIN_INVALID origins[0]"],
    [{ origins: Array<string>(51).fill("https://a.example") }, "INVALID_FIELD origins"],
  ])("refuses %j", (patch, expected) => expect(refusal(patch)).toBe(expected));

  it.each([[null], [[]]])("leaves a publishable key its origins: %j", (origins) => {
    expect(refusal({ origins }, { class: "publishable" })).toBe("ORIGIN_NEEDED origins");
  });
});
