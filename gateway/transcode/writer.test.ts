import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { Dialect } from "../dialects/dialect.ts";
import { boxed, camel, messageOf, routeOf, snake, tableIn } from "./fixture/things.ts";

const Thing = messageOf("Thing");

/** A message of the fixture; it has no generated code, so its fields are untyped. */
function make(name: string, fields: Record<string, unknown>) {
  const message = messageOf(name);
  return create(message, fields as MessageInitShape<typeof message>);
}

/** What a route of a dialect answers, parsed. */
function answer(dialect: Dialect, rpc: string, fields: Record<string, unknown>) {
  const route = routeOf(tableIn(dialect), rpc);
  const { status, body } = route.write(make(route.rpc.output.name, fields));
  return { status, body, json: body === "" ? undefined : JSON.parse(body) };
}

/** One member of a thing in a dialect; undefined when it is left out. */
function member(dialect: Dialect, name: string, fields: Record<string, unknown>): unknown {
  return answer(dialect, "GetThing", { thing: fields }).json[name];
}

const at = { seconds: 1774020600n, nanos: 250_999_999 };

describe("a field is written", () => {
  it.each<[string, Record<string, unknown>, string, unknown, string, unknown]>([
    ["string", { thingId: 'a"\n\u2028é\ud800' }, "thing_id", 'a"\n\u2028é\ud800', "thingId", 'a"\n\u2028é\ud800'],
    ["long string", { thingId: "x".repeat(200) }, "thing_id", "x".repeat(200), "thingId", "x".repeat(200)],
    ["zero string", {}, "thing_id", "", "thingId", ""],
    ["bool", {}, "flag", false, "flag", false],
    ["int32", { small: -5 }, "small", -5, "small", -5],
    ["int64", { big: 5n }, "big", 5, "big", "5"],
    ["zero int64", {}, "big", 0, "big", "0"],
    ["flipped int64", { flipped: 5n }, "flipped", "5", "flipped", 5],
    ["int64 kept as text", { textBig: "7" }, "text_big", 7, "textBig", "7"],
    ["uint64", { bigUnsigned: 7n }, "big_unsigned", 7, "bigUnsigned", "7"],
    ["double", { ratio: 0.1 }, "ratio", 0.1, "ratio", 0.1],
    ["NaN", { ratio: Number.NaN }, "ratio", null, "ratio", null],
    ["infinity", { single: Number.NEGATIVE_INFINITY }, "single", null, "single", null],
    ["bytes", { blob: new Uint8Array([251, 255]) }, "blob", "+/8=", "blob", "+/8="],
    ["enum", { color: 2 }, "color", "dark_blue", "color", "COLOR_DARK_BLUE"],
    ["unspecified enum", {}, "color", undefined, "color", "COLOR_UNSPECIFIED"],
    ["unspecified nullable enum", {}, "empty_color", null, "emptyColor", "COLOR_UNSPECIFIED"],
    ["enum with a style", { mood: 1 }, "mood", "GOOD", "mood", "GOOD"],
    ["enum of tomorrow", { color: 9 }, "color", 9, "color", 9],
    ["absent optional", {}, "nickname", undefined, "nickname", undefined],
    ["empty optional", { nickname: "" }, "nickname", "", "nickname", ""],
    ["absent nullable", {}, "rank", null, "rank", null],
    ["zero nullable", { rank: 0 }, "rank", 0, "rank", 0],
    ["absent message", {}, "part", undefined, "part", undefined],
    ["absent nullable message", {}, "null_part", null, "nullPart", null],
    ["message", { part: { name: "p" } }, "part", { name: "p", count: 0 }, "part", { name: "p", count: 0 }],
    ["time", { madeAt: at }, "made_at", "2026-03-20T15:30:00Z", "madeAt", "2026-03-20T15:30:00.250Z"],
    ["impossible time", { madeAt: { seconds: 1n << 60n, nanos: 0 } }, "made_at", undefined, "madeAt", undefined],
    ["duration", { wait: { seconds: 1n, nanos: 5e8 } }, "wait", "1.500s", "wait", "1.500s"],
    ["mask", { mask: { paths: ["made_at", "part.name"] } }, "mask", "madeAt,part.name", "mask", "madeAt,part.name"],
    ["struct", { metadata: { a: [1, null] } }, "metadata", { a: [1, null] }, "metadata", { a: [1, null] }],
    ["absent struct", {}, "metadata", {}, "metadata", {}],
    ["absent nullable struct", {}, "null_metadata", null, "nullMetadata", null],
    ["wrapped int64", { wrappedBig: 5n }, "wrapped_big", 5, "wrappedBig", "5"],
    ["absent wrapper", {}, "wrapped_flag", undefined, "wrappedFlag", undefined],
    ["empty list", {}, "words", [], "words", []],
    ["list", { bigs: [1n, 2n] }, "bigs", [1, 2], "bigs", ["1", "2"]],
    ["list of enums", { colors: [1, 0] }, "colors", ["red", null], "colors", ["COLOR_RED", "COLOR_UNSPECIFIED"]],
    ["empty list to omit", {}, "parts", undefined, "parts", undefined],
    ["empty nullable list", {}, "null_parts", null, "nullParts", null],
    ["list of wrappers", { wrappedBigs: [{ value: 3n }] }, "wrapped_bigs", [3], "wrappedBigs", ["3"]],
    ["list of structs", { structs: [{ a: 1 }] }, "structs", [{ a: 1 }], "structs", [{ a: 1 }]],
    ["empty map", {}, "labels", {}, "labels", {}],
    ["map", { labels: { 'a"': "b" } }, "labels", { 'a"': "b" }, "labels", { 'a"': "b" }],
    [
      "map of messages",
      { partsByNumber: { 7: { name: "p" } } },
      "parts_by_number",
      { 7: { name: "p", count: 0 } },
      "partsByNumber",
      { 7: { name: "p", count: 0 } },
    ],
    ["map of int64", { bigsByBig: { 5: 6n } }, "bigs_by_big", { 5: 6 }, "bigsByBig", { 5: "6" }],
    ["json name", { timestampUtc: "x" }, "timestamp_utc", "x", "timestampUTC", "x"],
    ["internal", { hidden: "x" }, "hidden", undefined, "hidden", undefined],
    ["case of a oneof", { choice: { case: "choiceBig", value: 0n } }, "choice_big", 0, "choiceBig", "0"],
    ["other case", { choice: { case: "choiceBig", value: 0n } }, "choice_text", undefined, "choiceText", undefined],
    [
      "struct in a oneof",
      { choice: { case: "choiceStruct", value: { a: 1 } } },
      "choice_struct",
      { a: 1 },
      "choiceStruct",
      { a: 1 },
    ],
    ["flat member", { place: { country: "US" } }, "country", "US", "country", "US"],
    ["absent flat message", {}, "country", undefined, "country", undefined],
    ["flat message itself", { place: { country: "US" } }, "place", undefined, "place", undefined],
  ])("%s", (_kind, fields, snakeName, snakeValue, camelName, camelValue) => {
    expect(member(snake, snakeName, fields)).toEqual(snakeValue);
    expect(member(camel, camelName, fields)).toEqual(camelValue);
  });

  it("of google.protobuf.Value as plain JSON", () => {
    const value = (kind: unknown) => ({ $typeName: "google.protobuf.Value", kind });
    const number = value({ case: "numberValue", value: 1 });
    const list = value({ case: "listValue", value: { $typeName: "google.protobuf.ListValue", values: [number] } });
    const struct = value({ case: "structValue", value: { $typeName: "google.protobuf.Struct", fields: { a: list } } });
    expect(member(snake, "anything", { anything: struct })).toEqual({ a: [1] });
    expect(member(snake, "anything", { anything: value({ case: "nullValue", value: 0 }) })).toBeNull();
    expect(member(snake, "anything", { anything: value({ case: "numberValue", value: Number.NaN }) })).toBeNull();
    expect(member(snake, "rows", { rows: { values: [number] } })).toEqual([1]);
  });

  it("with the full digits of a 64-bit integer", () => {
    const { body } = answer(snake, "GetThing", { thing: { big: 9223372036854775807n } });
    expect(body).toContain('"big":9223372036854775807,');
  });

  it("in the order of the proto", () => {
    const { body } = answer(snake, "GetThing", { thing: create(Thing) });
    expect(body.startsWith('{"thing_id":"","flag":false,"small":0,')).toBe(true);
  });
});

describe("a reply", () => {
  it("has the status of the proto", () => {
    expect(answer(snake, "CreateThing", { thing: {} }).status).toBe(201);
    expect(answer(snake, "GetThing", { thing: {} }).status).toBe(200);
  });

  it("without fields is 204, or an empty object where the dialect says so", () => {
    expect(answer(snake, "DeleteThing", {})).toMatchObject({ status: 204, body: "" });
    expect(answer(camel, "DeleteThing", {})).toMatchObject({ status: 200, body: "{}" });
    expect(answer(boxed, "DeleteThing", {}).json).toEqual({ status: 200, message: "", data: {} });
  });

  it("is null where response_body names an absent message", () => {
    expect(answer(snake, "GetThing", {}).body).toBe("null");
  });

  it("goes into the envelope with its sentence", () => {
    const { json } = answer(boxed, "CreateThing", { thing: { thingId: "a" } });
    expect(json).toMatchObject({ status: 201, message: "Thing created successfully", data: { thingId: "a" } });
  });

  it("has meta beside the body where the dialect has a place for it", () => {
    const fields = { things: [], meta: { total: 1, totalPages: 1 } };
    const meta = { total: 1, totalPages: 1 };
    expect(answer(boxed, "ListThings", fields).json).toEqual({ status: 200, message: "", data: { things: [] }, meta });
    expect(answer(camel, "ListThings", fields).json).toEqual({ things: [], meta });
    expect(answer(boxed, "ReplaceThing", { thing: {}, meta }).json).toMatchObject({ data: { thingId: "" }, meta });
  });

  it("whose shape depends on the request stands flat", () => {
    const byShelf = { shape: { case: "byShelf", value: { shelfId: "s", count: 2n } } };
    expect(answer(snake, "Measure", byShelf).json).toEqual({ shelf_id: "s", count: 2 });
    const byColor = { shape: { case: "byColor", value: { color: 1, count: 2n } } };
    expect(answer(snake, "Measure", byColor).json).toEqual({ color: "red", count: 2 });
    expect(answer(snake, "Measure", {}).body).toBe("{}");
  });

  it("has members of a oneof under one name", () => {
    const data = (content: object) => answer(camel, "Watch", { content }).json.data;
    expect(data({ case: "part", value: { name: "p", count: 1 } })).toMatchObject({ name: "p" });
    expect(data({ case: "place", value: { country: "US" } })).toMatchObject({ country: "US" });
    expect(answer(camel, "Watch", {}).json).not.toHaveProperty("data");
  });

  it("may be one message of a stream", () => {
    expect(answer(snake, "Watch", { thing: { thingId: "a" } }).json).toMatchObject({ thing: { thing_id: "a" } });
  });
});
