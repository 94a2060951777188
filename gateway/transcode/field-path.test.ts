import { describe, expect, it } from "vitest";
import { camel, routeOf, snake, tableIn } from "./fixture/things.ts";

const table = tableIn(camel);

describe("a field path in proto names", () => {
  it.each([
    ["RecordItems", "items[3].scanned_at", "items[3].scannedAt"],
    ["RecordItems", "items", "items"],
    ["CreateThing", "thing.parts_by_number[7].name", "thing.partsByNumber[7].name"],
    ["CreateThing", 'thing.labels["a.b"]', 'thing.labels["a.b"]'],
    ["CreateThing", "thing.timestamp_utc", "thing.timestampUTC"],
    ["CreateThing", "thing.place.home_city", "thing.homeCity"],
    ["CreateThing", "thing.no_such.thing_id", "thing.no_such.thing_id"],
    ["CreateThing", "no such", "no such"],
    ["ReplaceThing", "thing.made_at", "madeAt"],
    ["ReplaceThing", "thing", "body"],
    ["ReplaceThing", "thing_id", "thingId"],
    ["ReplaceThing", "dry_run", "dryRun"],
    ["ListThings", "filter.since_time", "filter.sinceTime"],
    ["ListThings", "place.home_city", "homeCity"],
  ])("of %s: %s is %s to the caller", (rpc, path, expected) => {
    expect(routeOf(table, rpc).nameOf(path)).toBe(expected);
  });

  it("stays as it is where the dialect has proto names", () => {
    expect(routeOf(tableIn(snake), "RecordItems").nameOf("items[3].scanned_at")).toBe("items[3].scanned_at");
  });

  it("takes body names for the body and query names for the rest", () => {
    const mixed = tableIn({ ...snake, bodyNames: "proto", queryNames: "json" });
    expect(routeOf(mixed, "ReplaceThing").nameOf("thing.made_at")).toBe("made_at");
    expect(routeOf(mixed, "ReplaceThing").nameOf("dry_run")).toBe("dryRun");
  });
});
