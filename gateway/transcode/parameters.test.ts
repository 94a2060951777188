import { describe, expect, it } from "vitest";
import { InputError } from "./fault.ts";
import { camel, routeOf, send, snake, tableIn } from "./fixture/things.ts";

const table = tableIn(snake);
const list = routeOf(table, "ListThings");
const camelList = routeOf(tableIn(camel), "ListThings");
const get = routeOf(table, "GetThing");

function messages(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    if (error instanceof InputError) return error.fields.map(({ message }) => message);
    throw error;
  }
  return [];
}

describe("a query", () => {
  it.each<[string, Record<string, unknown>]>([
    ["limit=5", { limit: 5 }],
    ["limit=-5", { limit: -5 }],
    ["main_color=red", { mainColor: 1 }],
    ["mainColor=COLOR_DARK_BLUE", { mainColor: 2 }],
    ["name_words=a&name_words=b%20c&nameWords=d", { nameWords: ["a", "b c", "d"] }],
    ["name_words=a,b", { nameWords: ["a,b"] }],
    ["filter.since_time=2026-03-20", { filter: { sinceTime: { seconds: 1773964800n } } }],
    ["filter.since_time=2026-03-20T02:00:00+02:00", { filter: { sinceTime: { seconds: 1773964800n } } }],
    ["filter.since_time=2026-03-20T02:00:00%2B02:00", { filter: { sinceTime: { seconds: 1773964800n } } }],
    ["filter.only_colors=red&filter.onlyColors=dark_blue", { filter: { onlyColors: [1, 2] } }],
    ["filter.with_parts=1", { filter: { withParts: true } }],
    [
      "filter.deeper_filter.deeper_filter.with_parts=false",
      { filter: { deeperFilter: { deeperFilter: { withParts: false } } } },
    ],
    ["max_age=5s", { maxAge: { seconds: 5n } }],
    ["ratio=1.5e1", { ratio: 15 }],
    ["after_id=18446744073709551615", { afterId: 18446744073709551615n }],
    ["country=US&home_city=Ulm", { place: { country: "US", homeCity: "Ulm" } }],
    ["include_bots=true", { includeBots: true }],
    ["by_name=x", { which: { case: "byName", value: "x" } }],
    ["by_shelf.shelf_id=s", { which: { case: "byShelf", value: { shelfId: "s" } } }],
    ["by_name=", { which: { case: "byName", value: "" } }],
  ])("%s", (query, expected) => {
    expect(send(list, { query })).toMatchObject(expected);
  });

  it.each([
    "unknown=1&=&&limit.x=1",
    "filter=1&filter.=1&labels=1&metadata=1",
    "secret_note=x&secretNote=x",
    "__proto__=1&constructor=1&__proto__.x=1",
  ])("%s is left alone", (query) => {
    expect(send(list, { query })).toStrictEqual(send(list, {}));
  });

  it.each([
    ["limit=x", "limit must be a whole number"],
    ["limit=", "limit must be a whole number"],
    ["limit=1&limit=2", "limit must be given once"],
    ["main_color=green", "main_color must be one of red, dark_blue"],
    ["main_color=red&mainColor=red", "main_color must be given once"],
    ["include_bots=yes", "include_bots must be true or false"],
    ["ratio=Infinity", "ratio must be a number"],
    ["filter.since_time=2026-03-20T02:00:00", "filter.since_time must be an ISO 8601 time with zone"],
    ["filter.only_colors=red&filter.only_colors=blue", "filter.only_colors must be one of red, dark_blue"],
    ["after_id=-1", "after_id must be a whole number from 0"],
    ["max_age=5", 'max_age must be a duration in seconds, as "3.5s"'],
  ])("%s is refused", (query, message) => {
    expect(messages(() => send(list, { query }))).toEqual([message]);
  });

  it("is told in the names of the dialect", () => {
    expect(messages(() => send(camelList, { query: "main_color=x&filter.since_time=x" }))).toEqual([
      "mainColor must be one of COLOR_RED, COLOR_DARK_BLUE",
      "filter.sinceTime must be an ISO 8601 time with zone",
    ]);
  });

  it("cannot touch what the path and the body hold", () => {
    const replace = routeOf(table, "ReplaceThing");
    const request = send(replace, {
      params: ["t1"],
      query: "thing_id=evil&thing.thing_id=evil&thing.part.name=evil&dry_run=true",
      body: { thing_id: "t1" },
    });
    expect(request).toMatchObject({ thingId: "t1", dryRun: true, thing: { thingId: "t1" } });
    expect(request.thing).not.toHaveProperty("part");
  });

  it("is nothing to a route whose body is the whole message", () => {
    expect(send(routeOf(table, "CreateThing"), { query: "thing.thing_id=x" }).thing).toBeUndefined();
  });
});

describe("a path", () => {
  it("fills fields of any scalar type", () => {
    expect(send(get, { params: ["12"], query: "explain=true" })).toMatchObject({ thingId: 12n, explain: true });
  });

  it("fills nested fields", () => {
    const found = table.match("GET", "/v1/shelves/s%2F1/things/7");
    if (found.kind !== "route") throw new Error(found.kind);
    expect(send(found.route, { params: found.params })).toMatchObject({ thingId: 7n, shelf: { shelfId: "s/1" } });
  });

  it("names the parameter that is wrong", () => {
    expect(messages(() => send(get, { params: ["x"] }))).toEqual(["thing_id must be a whole number"]);
  });

  it("wins over the body", () => {
    const request = send(routeOf(table, "ReplaceThing"), { params: ["t1"], body: { thing_id: "t2" } });
    expect(request).toMatchObject({ thingId: "t1", thing: { thingId: "t2" } });
  });
});
