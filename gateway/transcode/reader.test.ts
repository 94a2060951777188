import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { InputError } from "./fault.ts";
import { camel, messageOf, routeOf, send, snake, tableIn } from "./fixture/things.ts";

const create1 = routeOf(tableIn(snake), "CreateThing");
const camelCreate = routeOf(tableIn(camel), "CreateThing");
const Thing = messageOf("Thing");

/** The thing that a body gives. */
function read(thing: unknown): Record<string, unknown> {
  return send(create1, { body: { thing } }).thing as Record<string, unknown>;
}

/** "field: message" of every fault. */
function faults(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.status).toBe(400);
    expect(error.message).toBe(error.fields[0]?.message);
    return error.fields.map(({ field, message }) => `${field}: ${message}`);
  }
  return [];
}

const time = (iso: string) => ({
  $typeName: "google.protobuf.Timestamp",
  seconds: BigInt(Math.floor(Date.parse(iso) / 1000)),
  nanos: (Date.parse(iso) - Math.floor(Date.parse(iso) / 1000) * 1000) * 1e6,
});
const part = (name: string, count = 0) => ({ $typeName: "fixture.v1.Part", name, count });

describe("a field is read", () => {
  it.each<[string, unknown, string, unknown]>([
    ["thing_id", "a", "thingId", "a"],
    ["thingId", "a", "thingId", "a"],
    ["thing_id", null, "thingId", ""],
    ["flag", true, "flag", true],
    ["small", -7, "small", -7],
    ["small", "12", "small", 12],
    ["small", 1e3, "small", 1000],
    ["small_unsigned", 4294967295, "smallUnsigned", 4294967295],
    ["small_fixed", 1, "smallFixed", 1],
    ["big", 12, "big", 12n],
    ["big", "9223372036854775807", "big", 9223372036854775807n],
    ["big", "-9223372036854775808", "big", -9223372036854775808n],
    ["big_unsigned", "18446744073709551615", "bigUnsigned", 18446744073709551615n],
    ["text_big", 12, "textBig", "12"],
    ["single", 0.5, "single", 0.5],
    ["ratio", 1.5, "ratio", 1.5],
    ["ratio", "1.5e3", "ratio", 1500],
    ["blob", "AQID", "blob", new Uint8Array([1, 2, 3])],
    ["blob", "-_8", "blob", new Uint8Array([251, 255])],
    ["color", "red", "color", 1],
    ["color", "DARK_BLUE", "color", 2],
    ["color", "COLOR_DARK_BLUE", "color", 2],
    ["color", "COLOR_UNSPECIFIED", "color", 0],
    ["made_at", "2026-03-20T15:30:00.25Z", "madeAt", time("2026-03-20T15:30:00.250Z")],
    ["made_at", "1969-12-31T23:59:59.75Z", "madeAt", time("1969-12-31T23:59:59.750Z")],
    ["made_at", "2026-03-20", "madeAt", time("2026-03-20T00:00:00Z")],
    ["made_at", null, "madeAt", undefined],
    ["wait", "1.5s", "wait", { $typeName: "google.protobuf.Duration", seconds: 1n, nanos: 500000000 }],
    ["mask", "madeAt,part.name", "mask", { $typeName: "google.protobuf.FieldMask", paths: ["made_at", "part.name"] }],
    ["metadata", { a: { b: [1, null, "x"] } }, "metadata", { a: { b: [1, null, "x"] } }],
    ["metadata", null, "metadata", undefined],
    ["wrapped_text", "x", "wrappedText", "x"],
    ["wrapped_big", "5", "wrappedBig", 5n],
    ["wrapped_flag", false, "wrappedFlag", false],
    ["wrapped_flag", null, "wrappedFlag", undefined],
    ["nickname", "", "nickname", ""],
    ["nickname", null, "nickname", undefined],
    ["rank", 0, "rank", 0],
    ["second_color", "red", "secondColor", 1],
    ["part", { name: "p", unknown: { deep: 1 } }, "part", part("p")],
    ["part", {}, "part", part("")],
    ["part", null, "part", undefined],
    ["words", ["a", ""], "words", ["a", ""]],
    ["words", null, "words", []],
    ["bigs", [1, "2"], "bigs", [1n, 2n]],
    ["colors", ["red", "DARK_BLUE"], "colors", [1, 2]],
    ["parts", [{ name: "p" }, {}], "parts", [part("p"), part("")]],
    ["times", ["2026-03-20"], "times", [time("2026-03-20T00:00:00Z")]],
    ["wrapped_bigs", [3], "wrappedBigs", [{ $typeName: "google.protobuf.Int64Value", value: 3n }]],
    ["structs", [{ a: 1 }], "structs", [{ a: 1 }]],
    ["labels", { a: "b" }, "labels", { a: "b" }],
    ["parts_by_number", { 7: { name: "p" } }, "partsByNumber", { 7: part("p") }],
    ["colors_by_flag", { true: "red" }, "colorsByFlag", { true: 1 }],
    ["bigs_by_big", { "-5": "6" }, "bigsByBig", { "-5": 6n }],
    ["timestampUTC", "x", "timestampUtc", "x"],
    ["hidden", "x", "hidden", ""],
    ["choice_text", "", "choice", { case: "choiceText", value: "" }],
    ["choice_text", null, "choice", { case: undefined }],
    ["choice_big", "1", "choice", { case: "choiceBig", value: 1n }],
    ["choice_part", { name: "p" }, "choice", { case: "choicePart", value: part("p") }],
    ["choice_struct", { a: 1 }, "choice", { case: "choiceStruct", value: { a: 1 } }],
    [
      "choice_wrapped",
      "x",
      "choice",
      { case: "choiceWrapped", value: { $typeName: "google.protobuf.StringValue", value: "x" } },
    ],
    ["country", "US", "place", { $typeName: "fixture.v1.Place", country: "US" }],
    ["homeCity", "Ulm", "place", { $typeName: "fixture.v1.Place", country: "", homeCity: "Ulm" }],
  ])("%s %j", (name, value, local, expected) => {
    const thing = read({ [name]: value });
    expect(thing[local]).toStrictEqual(expected);
    // What protobuf-es would have made of it is the same.
    const message = thing as never;
    expect(equals(Thing, fromBinary(Thing, toBinary(Thing, message)), message)).toBe(true);
    expect(createValidator().validate(Thing, message).kind).not.toBe("error");
  });

  it("of google.protobuf.Value, where null is a value", () => {
    expect(read({ anything: null }).anything).toMatchObject({ kind: { case: "nullValue" } });
    expect(read({ anything: [1] }).anything).toMatchObject({ kind: { case: "listValue" } });
    expect(read({}).anything).toBeUndefined();
    expect(read({ extras: { a: null } }).extras).toMatchObject({ a: { kind: { case: "nullValue" } } });
    expect(read({ rows: [1, "a"] }).rows).toMatchObject({ values: [{ kind: { value: 1 } }, { kind: { value: "a" } }] });
  });

  it("to the last of two names", () => {
    expect(read({ thing_id: "a", thingId: "b" }).thingId).toBe("b");
    expect(read({ thingId: "b", thing_id: "a" }).thingId).toBe("a");
    expect(read({ choice_text: "a", choice_big: 1 }).choice).toEqual({ case: "choiceBig", value: 1n });
  });

  it("and an empty object is the empty message", () => {
    expect(read({})).toStrictEqual(create(Thing));
    expect(read({}).words).not.toBe(read({}).words);
  });
});

describe("a wrong value is told", () => {
  it.each<[string, unknown, string]>([
    ["thing_id", 5, "thing.thing_id: thing.thing_id must be a string"],
    ["thing_id", "\ud800", "thing.thing_id: thing.thing_id must be well-formed Unicode"],
    ["flag", "true", "thing.flag: thing.flag must be true or false"],
    ["small", 1.5, "thing.small: thing.small must be a whole number"],
    ["small", 2147483648, "thing.small: thing.small must be a whole number"],
    ["small", "", "thing.small: thing.small must be a whole number"],
    ["small", "0x10", "thing.small: thing.small must be a whole number"],
    ["small_unsigned", -1, "thing.small_unsigned: thing.small_unsigned must be a whole number from 0"],
    ["big", 2 ** 53, "thing.big: thing.big is too large for a JSON number; send it as a string"],
    ["big", "9223372036854775808", "thing.big: thing.big must be a whole number"],
    ["big", 0.5, "thing.big: thing.big must be a whole number"],
    ["big_unsigned", "-1", "thing.big_unsigned: thing.big_unsigned must be a whole number from 0"],
    ["single", 1e39, "thing.single: thing.single must be a number"],
    ["ratio", "NaN", "thing.ratio: thing.ratio must be a number"],
    ["ratio", true, "thing.ratio: thing.ratio must be a number"],
    ["blob", "***", "thing.blob: thing.blob must be a base64 string"],
    ["color", "green", "thing.color: thing.color must be one of red, dark_blue"],
    ["color", 1, "thing.color: thing.color must be one of red, dark_blue"],
    ["color", "unspecified", "thing.color: thing.color must be one of red, dark_blue"],
    ["mood", "x", "thing.mood: thing.mood must be one of GOOD"],
    ["made_at", "yesterday", "thing.made_at: thing.made_at must be an ISO 8601 time with zone"],
    ["made_at", 1774020600, "thing.made_at: thing.made_at must be an ISO 8601 time with zone"],
    ["wait", 5, 'thing.wait: thing.wait must be a duration in seconds, as "3.5s"'],
    ["mask", "a b", "thing.mask: thing.mask must be a comma list of field names"],
    ["metadata", [], "thing.metadata: thing.metadata must be an object"],
    ["rows", {}, "thing.rows: thing.rows must be a list"],
    ["wrapped_text", 1, "thing.wrapped_text: thing.wrapped_text must be a string"],
    ["part", [], "thing.part: thing.part must be an object"],
    ["part", { count: "x" }, "thing.part.count: thing.part.count must be a whole number"],
    ["words", "a", "thing.words: thing.words must be a list"],
    ["words", ["a", null], "thing.words[1]: thing.words[1] must be a string"],
    ["parts", [{}, { name: 1 }], "thing.parts[1].name: thing.parts[1].name must be a string"],
    ["labels", [], "thing.labels: thing.labels must be an object"],
    ["labels", { a: 1 }, "thing.labels.a: thing.labels.a must be a string"],
    ["parts_by_number", { x: {} }, "thing.parts_by_number.x: thing.parts_by_number.x must be a whole number"],
    [
      "colors_by_flag",
      { yes: "red" },
      "thing.colors_by_flag.yes: thing.colors_by_flag.yes must have true or false as key",
    ],
    ["country", 1, "thing.country: thing.country must be a string"],
  ])("%s %j", (name, value, expected) => {
    expect(faults(() => read({ [name]: value }))).toEqual([expected]);
  });

  it("in the names of the dialect", () => {
    const act = () => send(camelCreate, { body: { thing: { made_at: 1, color: "x" } } });
    expect(faults(act)).toEqual([
      "thing.madeAt: thing.madeAt must be an ISO 8601 time with zone",
      "thing.color: thing.color must be one of COLOR_RED, COLOR_DARK_BLUE",
    ]);
  });

  it("together, up to twenty", () => {
    expect(faults(() => read({ flag: 1, small: "x" }))).toHaveLength(2);
    expect(faults(() => read({ words: Array.from({ length: 500 }, () => 1) }))).toHaveLength(20);
  });

  it("at a nesting of more than 64 levels, in messages and in free JSON", () => {
    const nest = (levels: number) => {
      let value: Record<string, unknown> = {};
      for (let level = 0; level < levels; level++) value = { inner: value };
      return value;
    };
    expect(faults(() => read(nest(60)))).toEqual([]);
    expect(faults(() => read(nest(70)))[0]).toContain("must not be nested deeper than 64 levels");
    expect(faults(() => read({ metadata: nest(60) }))).toEqual([]);
    expect(faults(() => read({ metadata: nest(70) }))).toEqual([
      "thing.metadata: thing.metadata must not be nested deeper than 64 levels",
    ]);
  });

  it("when a number of free JSON is no number", () => {
    expect(faults(() => send(create1, { body: '{"thing":{"metadata":{"a":[1e999]}}}' }))).toEqual([
      "thing.metadata: thing.metadata has a number that is too large",
    ]);
  });
});

it("names that would reach into prototypes do nothing", () => {
  const wild = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"a":1}';
  const thing = send(create1, {
    body: `{"__proto__":{"x":1},"thing":{"__proto__":{"thing_id":"p"},"metadata":${wild},"anything":${wild},"labels":{"__proto__":"x","a":"b"},"extras":${wild}}}`,
  }).thing as Record<string, unknown>;
  expect(Object.getPrototypeOf(thing)).toBe(Object.prototype);
  expect(thing.thingId).toBe("");
  expect(Object.keys(thing.metadata as object)).toEqual(["constructor", "a"]);
  expect(Object.getPrototypeOf(thing.labels)).toBe(Object.prototype);
  expect(thing.labels).toEqual({ a: "b" });
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});
