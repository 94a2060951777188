import { describe, expect, it } from "vitest";
import { InputError } from "./fault.ts";
import { camel, routeOf, type Sent, send, snake, tableIn } from "./fixture/things.ts";

const table = tableIn(snake);
const items = routeOf(table, "RecordItems");
const replace = routeOf(table, "ReplaceThing");
const created = routeOf(table, "CreateThing");

/** The refusal of a request. */
function refusal(route: typeof items, sent: Sent): InputError {
  try {
    send(route, sent);
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("a body", () => {
  it.each([undefined, ""])("that is empty (%j) is an empty object", (body) => {
    expect(send(created, { body }).thing).toBeUndefined();
    expect(send(replace, { body, params: ["t1"] })).toMatchObject({ thingId: "t1", thing: { thingId: "" } });
  });

  it.each([
    ["application/json"],
    ["application/json; charset=utf-8"],
    ["Application/JSON"],
    ["application/vnd.waymark+json"],
    [undefined],
  ])("may come as %s", (contentType) => {
    expect(send(created, { body: { thing: { thing_id: "a" } }, contentType }).thing).toMatchObject({ thingId: "a" });
  });

  it.each(["text/plain", "application/x-www-form-urlencoded", "application/x-ndjson", "nonsense"])(
    "may not come as %s",
    (contentType) => {
      expect(refusal(created, { body: "{}", contentType })).toMatchObject({
        status: 415,
        message: "Content-Type must be application/json",
      });
    },
  );

  it.each([
    ['{"thing":{"thing_id":"se\u0001cret"}}', "the body is not valid JSON: line 1, column 22"],
    ['{\n"thing": {,}\n}', "the body is not valid JSON: line 2, column 11"],
    ["nope", "the body is not valid JSON: line 1, column 1"],
    ["{", "the body is not valid JSON: line 1, column 2"],
    ["[]", "the body must be an object"],
    ["null", "the body must be an object"],
    ['"x"', "the body must be an object"],
  ])("%j is refused: %s", (body, message) => {
    expect(refusal(created, { body })).toMatchObject({ status: 400, message });
  });

  it("that is not UTF-8 is refused", () => {
    const body = Buffer.from([0x7b, 0xff, 0x7d]);
    expect(() => created.read({ params: [], query: "", body, contentType: undefined })).toThrow(
      "the body must be UTF-8",
    );
  });

  it("may begin with a byte order mark", () => {
    expect(send(created, { body: '\ufeff{"thing":{"thing_id":"a"}}' }).thing).toMatchObject({ thingId: "a" });
  });

  it("that is one field names its faults from there", () => {
    expect(refusal(replace, { params: ["t1"], body: { part: { count: "x" } } }).fields).toEqual([
      { field: "part.count", message: "part.count must be a whole number" },
    ]);
    expect(refusal(replace, { params: ["t1"], body: "[]" }).message).toBe("the body must be an object");
  });

  it("is not looked at where the rule has none", () => {
    expect(send(routeOf(table, "DeleteThing"), { params: ["t1"], body: "nonsense" })).toMatchObject({ thingId: "t1" });
  });
});

describe("items that are judged alone", () => {
  const good = { id: "a", scanned_at: "2026-03-20T15:30:00Z" };
  const bad = [
    [{ id: 5 }, { field: "id", message: "id must be a string" }],
    [{ scanned_at: "x" }, { field: "scanned_at", message: "scanned_at must be an ISO 8601 time with zone" }],
    [{ parts: [{}, { count: "x" }] }, { field: "parts[1].count", message: "parts[1].count must be a whole number" }],
    ["text", { field: "", message: "the item must be an object" }],
    [null, { field: "", message: "the item must be an object" }],
  ] as const;

  it.each(bad)("%j stands empty in its place", (item, fault) => {
    const request = send(items, { body: { items: [good, item, good] } });
    expect(request.items).toMatchObject([{ id: "a" }, { id: "" }, { id: "a" }]);
    expect((request.items as object[])[1]).not.toHaveProperty("scannedAt");
    expect(request.itemFaults).toMatchObject([{ index: 1, ...fault }]);
  });

  it("are told in the names of the dialect, one fault an item", () => {
    const body = { items: [{ scanned_at: 1, user_agent: 2 }] };
    const request = send(routeOf(tableIn(camel), "RecordItems"), { body });
    expect(request.itemFaults).toMatchObject([{ index: 0, field: "scannedAt" }]);
  });

  it("do not save a request that is wrong itself", () => {
    expect(refusal(items, { body: { items: {} } }).message).toBe("items must be a list");
    expect(refusal(items, { body: { items: Array.from({ length: 1001 }, () => ({})) } }).message).toBe(
      "items must have at most 1000 items",
    );
  });

  it("cannot be given faults from outside", () => {
    const request = send(items, { body: { items: [good], item_faults: [{ index: 0 }], itemFaults: [{ index: 0 }] } });
    expect(request.itemFaults).toEqual([]);
  });
});

describe("NDJSON", () => {
  const contentType = "application/x-ndjson";

  it("fills its field, a line an item, and passes over blank lines", () => {
    const request = send(items, { body: '{"id":"a"}\r\n\n  \n{"id":"b"}', contentType });
    expect(request.items).toMatchObject([{ id: "a" }, { id: "b" }]);
    expect(request.itemFaults).toEqual([]);
    expect(request.fromLines).toBe(true);
    expect(send(items, { body: { items: [], from_lines: true } }).fromLines).toBe(false);
  });

  it("judges lines alone, the broken ones too", () => {
    const request = send(items, { body: '{"id":"a"}\n{"id":\n5\n{"id":7}\n{"id":"e"}\n', contentType });
    expect(request.items).toMatchObject([{ id: "a" }, { id: "" }, { id: "" }, { id: "" }, { id: "e" }]);
    expect(request.itemFaults).toMatchObject([
      { index: 1, field: "", message: "the item is not valid JSON: column 7" },
      { index: 2, message: "the item must be an object" },
      { index: 3, field: "id", message: "id must be a string" },
    ]);
  });

  it("has at most as many lines as the field may have items", () => {
    expect(refusal(items, { body: "{}\n".repeat(1001), contentType }).message).toBe(
      "items must have at most 1000 items",
    );
  });

  it("that is empty is an empty list", () => {
    expect(send(items, { body: "\n\n", contentType }).items).toEqual([]);
  });
});
