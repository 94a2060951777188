import { create, fromJson, type JsonValue, type MessageInitShape } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { DrawCodeRequestSchema } from "#gen/waymark/codes/v1/directory_pb.ts";
import { readDrawing } from "./drawing.ts";
import { loadRouting, readRouting, storeRouting } from "./routing-json.ts";
import {
  checkMetadata,
  checkTags,
  checkTexts,
  checkUrl,
  nameOfUrl,
  readTemplate,
  readText,
  readWelcome,
  shortIdLength,
  shortIdOf,
  tagId,
} from "./rules.ts";

const value = (json: JsonValue) => fromJson(ValueSchema, json);

describe("a destination", () => {
  it.each(["https://example.com", "http://a.b/c?d=e#f", "https://example.com/über/日本", "HTTPS://EXAMPLE.COM/"])(
    "may be %s",
    (url) => expect(checkUrl(url, "destination")).toBe(url),
  );

  it.each([
    "",
    "example.com",
    "/menu",
    "javascript:alert(1)",
    "ftp://example.com",
    "data:text/html,x",
    "https://",
    "https://example.com/a b",
    "https://example.com/\r\nSet-Cookie:x",
    `https://example.com/${"x".repeat(2048)}`,
  ])("may not be %j", (url) => {
    expect(() => checkUrl(url, "links[3].destination")).toThrow("links[3].destination must be an http or https URL");
  });
});

describe("metadata", () => {
  const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, i]));

  it("has at most 50 keys", () => {
    expect(checkMetadata(keys(50), "metadata")).toEqual(keys(50));
    expect(() => checkMetadata(keys(51), "metadata")).toThrow("metadata must have at most 50 keys");
  });

  it("has at most 16 KiB, counted in bytes", () => {
    expect(checkMetadata({ a: "é".repeat(8188) }, "metadata")).toBeDefined();
    expect(() => checkMetadata({ a: "é".repeat(8189) }, "metadata")).toThrow("at most 16384 bytes");
  });

  it("holds texts only where it must", () => {
    expect(checkTexts({ a: "1" }, "metadata")).toEqual({ a: "1" });
    expect(() => checkTexts({ a: "1", b: 2 }, "metadata")).toThrow("metadata.b must be a text");
  });
});

describe("tags", () => {
  it("are kept once, in their order", () => expect(checkTags(["b", "a", "b"], "tags")).toEqual(["b", "a"]));

  it.each<[string, JsonValue[], string]>([
    ["empty ones", ["a", ""], "tags[1] must be a text of 1 to 64 characters"],
    ["long ones", ["x".repeat(65)], "tags[0] must be a text"],
    ["other things", [1], "tags[0] must be a text"],
    ["too many", Array.from({ length: 51 }, String), "tags must have at most 50 tags"],
  ])("refuse %s", (_case, tags, message) => expect(() => checkTags(tags, "tags")).toThrow(message));

  it("have ids that follow from their names and tell test data apart", () => {
    expect(tagId("spring", false)).toBe(tagId("spring", false));
    expect(new Set([tagId("spring", false), tagId("Spring", false), tagId("spring", true)]).size).toBe(3);
  });
});

describe("a text of a PATCH", () => {
  it.each<[JsonValue, string | undefined]>([
    ["x", "x"],
    ["", undefined],
    [null, undefined],
  ])("reads %j as %j", (json, text) => expect(readText(value(json), "prompt")).toBe(text));

  it.each<JsonValue>([1, true, {}, ["x"]])("refuses %j", (json) =>
    expect(() => readText(value(json), "destination")).toThrow("destination must be a text or null"),
  );

  it("keeps to its length and words", () => {
    expect(readWelcome(value("x".repeat(2000)), "welcome_message")).toHaveLength(2000);
    expect(() => readWelcome(value("x".repeat(2001)), "welcome_message")).toThrow("at most 2000");
    expect(readTemplate(value("retail"), "template")).toBe("retail");
    expect(() => readTemplate(value("spaceship"), "template")).toThrow("template must be one of business, rewards");
  });
});

it.each([
  ["https://example.com/", "example.com"],
  ["https://example.com/menu?x=1", "example.com/menu?x=1"],
  [`http://example.com/${"x".repeat(300)}`, `example.com/${"x".repeat(188)}`],
])("names a link after %s", (url, name) => expect(nameOfUrl(url)).toBe(name));

it("makes short ids without look-alikes", () => {
  const all = shortIdOf(Uint8Array.from({ length: 256 }, (_, i) => i));
  expect(all).toMatch(/^[a-z2-9]{256}$/);
  expect(all).not.toMatch(/[01oil]/);
  expect([0, 3, 4, 7].map(shortIdLength)).toEqual([6, 6, 8, 8]);
});

describe("routing", () => {
  const read = (json: JsonValue) => readRouting(value(json), "routing");
  const rule = (when: JsonValue): JsonValue => ({
    rules: [{ destination: "https://a" }, { when, destination: "https://b" }],
  });

  it("is read in the names of both dialects and kept as it was", () => {
    const snake = read(
      rule({ scans_below: 10, country: ["us"], after: "2026-03-20", before: "2026-03-21T12:00:00+01:00" }),
    );
    const camel = read(
      rule({ scansBelow: "10", country: ["US"], after: "2026-03-20T00:00:00Z", before: "2026-03-21T11:00:00Z" }),
    );
    expect(snake).toEqual(camel);
    expect(snake && loadRouting(storeRouting(snake))).toEqual(snake);
    expect(snake?.rules[1]?.when).toMatchObject({ scansBelow: 10n, country: ["US"] });
  });

  it("is cleared by null and ignores what it does not know", () => {
    expect(read(null)).toBeUndefined();
    expect(read({ rules: [{ destination: "https://a", colour: "red" }], version: 3 })?.rules).toHaveLength(1);
  });

  it.each<[string, JsonValue]>([
    ["routing must be an object", "mobile"],
    ["routing.rules must be a list", { rules: {} }],
    ["routing.rules[1] must be an object", { rules: [{ destination: "https://a" }, 7] }],
    ["routing.rules[0].name must be a text", { rules: [{ name: 5, destination: "https://a" }] }],
    ["routing.rules[1].when must be an object", rule("always")],
    ["routing.rules[1].when.country must be a list of texts", rule({ country: [1] })],
    ["routing.rules[1].when.country must be a list", rule({ country: "US" })],
    ["routing.rules[1].when.after must be an ISO 8601 time with zone", rule({ after: "tomorrow" })],
    ["routing.rules[1].when.scans_below must be a whole number", rule({ scansBelow: 1.5 })],
    ["routing.rules[1].when.scans_below must be 1 or more", rule({ scans_below: 0 })],
    ["routing.rules[1].when.country[1] must be an ISO 3166-1", rule({ country: ["US", "USA"] })],
    ["routing.rules[1].when.device[0] must be one of mobile, tablet", rule({ device: ["phone"] })],
    ["routing.rules[1].when.language[0] must be a language tag", rule({ language: ["en_GB"] })],
    ["routing.rules[1].when.days[0] must be one of mon", rule({ days: ["Monday"] })],
    ["routing.rules[1].when.hours must be two times of the day", rule({ hours: "9-17" })],
    ["routing.rules[1].when.hours must begin and end at different", rule({ hours: "09:00-09:00" })],
    ["routing.rules[1].when.timezone must be an IANA time zone", rule({ timezone: "Mars/Base" })],
    ["routing.rules[1].when.before must be later than after", rule({ after: "2026-03-20", before: "2026-03-20" })],
    ["routing.rules[0].destination must be given, or split", { rules: [{ name: "x" }] }],
    ["routing.rules[0].destination must be an http or https URL", { rules: [{ destination: "javascript:x" }] }],
    [
      "routing.rules[0].split must be left out",
      { rules: [{ destination: "https://a", split: [{ weight: 1, destination: "https://b" }] }] },
    ],
    [
      "routing.rules[0].split[0].weight must be a whole number",
      { rules: [{ split: [{ weight: 0.5, destination: "https://b" }] }] },
    ],
    [
      "routing.rules[0].split[0].weight must be a whole number from 1",
      { rules: [{ split: [{ destination: "https://b" }] }] },
    ],
    [
      "routing.rules[0].split[1].destination must be an http",
      { rules: [{ split: [{ weight: 1, destination: "https://b" }, { weight: 1 }] }] },
    ],
    [
      "routing.rules must have at most 50 rules",
      { rules: Array.from({ length: 51 }, () => ({ destination: "https://a" })) },
    ],
  ])("refuses: %s", (message, json) => expect(() => read(json)).toThrow(message));
});

describe("a drawing", () => {
  type Asked = MessageInitShape<typeof DrawCodeRequestSchema>;
  const read = (asked: Asked) => readDrawing(create(DrawCodeRequestSchema, { format: "png", ...asked }));

  it("has defaults and takes colours as people write them", () => {
    expect(read({})).toEqual({ format: "png", size: 512, margin: 4, ecc: "M", dark: "000000", light: "ffffff" });
    expect(read({ margin: 0, ecc: "h", dark: "#102030FF", light: "FFFFFF00" })).toMatchObject({
      margin: 0,
      ecc: "H",
      dark: "102030",
      light: "ffffff00",
    });
  });

  it.each<[string, Asked]>([
    ["format must be png or svg", { format: "gif" }],
    ["size must be", { size: 63 }],
    ["size must be", { size: 4097 }],
    ["size must be", { size: -1 }],
    ["margin must be", { margin: 17 }],
    ["margin must be", { margin: -1 }],
    ["ecc must be", { ecc: "X" }],
    ["dark must be a colour", { dark: "red" }],
    ["light must be a colour", { light: "FFF" }],
    ["light must differ more from dark", { dark: "777777", light: "888888" }],
  ])("refuses: %s", (message, asked) => expect(() => read(asked)).toThrow(message));
});
