import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { type RoutingRule, type RoutingRuleSchema, RoutingSchema } from "#gen/waymark/codes/v1/directory_pb.ts";
import { deviceKind, isTimezone, parseHours, type RouteFacts, route } from "./routing.ts";

type RuleInit = Parameters<typeof create<typeof RoutingRuleSchema>>[1];
type When = NonNullable<RoutingRule["when"]>;

const noon = Date.parse("2026-03-20T12:00:00Z"); // a Friday
const facts: RouteFacts = {
  country: "US",
  device: "mobile",
  language: "en-GB",
  at: noon,
  scansTotal: 10,
  deviceKey: "device-1",
};

function decide(rules: RuleInit[], changed: Partial<RouteFacts> = {}) {
  const routing = create(RoutingSchema, { rules: rules as RoutingRule[] });
  return route({ routing, destination: "https://home" }, { ...facts, ...changed });
}

function takes(when: Partial<When>, changed: Partial<RouteFacts> = {}): boolean {
  return decide([{ when: when as When, destination: "https://rule" }], changed).destination === "https://rule";
}

const at = (time: string): Partial<RouteFacts> => ({ at: Date.parse(time) });
const stamp = (time: string) => timestampFromDate(new Date(time));

describe("route", () => {
  it("goes to the code's destination without routing", () => {
    expect(route({ destination: "https://home" }, facts)).toEqual({ rule: undefined, destination: "https://home" });
  });

  it("goes nowhere without any destination", () => {
    expect(route({ destination: "" }, facts)).toEqual({ rule: undefined, destination: undefined });
  });

  it("takes the first rule that matches, by name or by index", () => {
    const rules = [
      { when: { country: ["DE"] }, destination: "https://de" },
      { when: { device: ["mobile"] }, destination: "https://phone" },
      { name: "all", destination: "https://all" },
    ] as RuleInit[];
    expect(decide(rules)).toEqual({ rule: 1, destination: "https://phone" });
    expect(decide(rules, { device: "desktop" })).toEqual({ rule: "all", destination: "https://all" });
    expect(decide(rules, { country: "DE" })).toEqual({ rule: 0, destination: "https://de" });
  });

  it("reads only facts that a rule asks for", () => {
    const lazy: RouteFacts = {
      ...facts,
      get device(): "mobile" {
        throw new Error("read");
      },
    };
    const routing = create(RoutingSchema, { rules: [{ when: { country: ["DE"], device: ["mobile"] } }] });
    expect(route({ routing, destination: "https://home" }, lazy).destination).toBe("https://home");
  });

  it.each<[string, boolean, Partial<When>, Partial<RouteFacts>]>([
    ["an empty condition", true, {}, {}],
    ["a country of the list", true, { country: ["DE", "US"] }, {}],
    ["a country in small letters", true, { country: ["US"] }, { country: "us" }],
    ["another country", false, { country: ["DE"] }, {}],
    ["an unknown country", false, { country: ["DE"] }, { country: "" }],
    ["another device", false, { device: ["tablet", "desktop"] }, {}],
    ["a device nobody knows", true, { device: ["unknown"] }, { device: "unknown" }],
    ["a language by its prefix", true, { language: ["en"] }, {}],
    ["a language without regard to case", true, { language: ["EN-gb"] }, {}],
    ["a region that was not asked for", false, { language: ["en-GB"] }, { language: "en" }],
    ["a language that only begins alike", false, { language: ["e"] }, {}],
    ["no language", false, { language: ["en"] }, { language: "" }],
    ["fewer scans", true, { scansBelow: 11n }, {}],
    ["as many scans", false, { scansBelow: 10n }, {}],
    ["the moment it begins", true, { after: stamp("2026-03-20T12:00:00Z") }, {}],
    ["a moment before", false, { after: stamp("2026-03-20T12:00:00.001Z") }, {}],
    ["the moment it ends", false, { before: stamp("2026-03-20T12:00:00Z") }, {}],
    ["a moment before the end", true, { before: stamp("2026-03-20T12:00:00.001Z") }, {}],
    ["one part of two", false, { country: ["US"], device: ["tablet"] }, {}],
  ])("matches or not: %s (%s)", (_case, expected, when, changed) => {
    expect(takes(when, changed)).toBe(expected);
  });

  it.each<[string, boolean, Partial<When>, string]>([
    ["the first minute", true, { hours: "09:00-17:00" }, "2026-03-20T09:00:00Z"],
    ["the last minute", true, { hours: "09:00-17:00" }, "2026-03-20T16:59:59Z"],
    ["the end", false, { hours: "09:00-17:00" }, "2026-03-20T17:00:00Z"],
    ["the end of the day", true, { hours: "09:00-24:00" }, "2026-03-20T23:59:00Z"],
    ["before midnight", true, { hours: "22:00-06:00" }, "2026-03-20T22:00:00Z"],
    ["after midnight", true, { hours: "22:00-06:00" }, "2026-03-20T05:59:00Z"],
    ["the day between two nights", false, { hours: "22:00-06:00" }, "2026-03-20T06:00:00Z"],
    ["the morning after Friday night", true, { hours: "22:00-06:00", days: ["fri"] }, "2026-03-21T02:00:00Z"],
    ["the morning before Friday night", false, { hours: "22:00-06:00", days: ["fri"] }, "2026-03-20T02:00:00Z"],
    ["Sunday morning of a Saturday night", true, { hours: "22:00-06:00", days: ["sat"] }, "2026-03-22T02:00:00Z"],
    ["a day", true, { days: ["fri"] }, "2026-03-20T23:59:00Z"],
    ["another day", false, { days: ["sat", "sun"] }, "2026-03-20T23:59:00Z"],
    ["a day that has begun elsewhere", true, { days: ["sat"], timezone: "Asia/Tokyo" }, "2026-03-20T15:00:00Z"],
    ["New York in winter", true, { hours: "09:00-10:00", timezone: "America/New_York" }, "2026-03-07T14:30:00Z"],
    ["New York in summer", true, { hours: "09:00-10:00", timezone: "America/New_York" }, "2026-03-08T13:30:00Z"],
    ["New York an hour late", false, { hours: "09:00-10:00", timezone: "America/New_York" }, "2026-03-08T14:30:00Z"],
    ["the hour that Berlin skips", true, { hours: "03:00-04:00", timezone: "Europe/Berlin" }, "2026-03-29T01:00:00Z"],
    ["half an hour of Kolkata", true, { hours: "17:30-17:31", timezone: "Asia/Kolkata" }, "2026-03-20T12:00:00Z"],
    ["a zone that does not exist", false, { hours: "00:00-24:00", timezone: "Mars/Base" }, "2026-03-20T12:00:00Z"],
    ["hours that nobody can read", false, { hours: "nine" }, "2026-03-20T12:00:00Z"],
  ])("keeps hours: %s (%s)", (_case, expected, when, time) => {
    expect(takes(when, at(time))).toBe(expected);
  });
});

describe("a split", () => {
  const split = [
    { weight: 70, destination: "https://a" },
    { weight: 30, destination: "https://b" },
    { weight: 0, destination: "https://never" },
  ] as RoutingRule["split"];

  const devices = Array.from({ length: 5000 }, (_, i) => `device-${i}`);

  it("gives each share its weight", () => {
    const taken = devices.filter((deviceKey) => decide([{ split }], { deviceKey }).destination === "https://a");
    expect(taken.length / devices.length).toBeGreaterThan(0.67);
    expect(taken.length / devices.length).toBeLessThan(0.73);
  });

  it("never takes a share of weight 0", () => {
    const seen = new Set(devices.map((deviceKey) => decide([{ split }], { deviceKey }).destination));
    expect([...seen].sort()).toEqual(["https://a", "https://b"]);
  });

  it("keeps a device at its share at all times", () => {
    const first = devices.map((deviceKey) => decide([{ split }], { deviceKey }).destination);
    const later = devices.map((deviceKey) => decide([{ split }], { deviceKey, at: noon + 1e9 }).destination);
    expect(later).toEqual(first);
  });

  it("decides anew for each rule", () => {
    const first = devices.map((deviceKey) => decide([{ split }], { deviceKey }).destination);
    const second = devices.map(
      (deviceKey) =>
        decide([{ when: { country: ["DE"] } as When, destination: "x" }, { split }], { deviceKey }).destination,
    );
    const same = first.filter((destination, i) => destination === second[i]).length / devices.length;
    expect(same).toBeGreaterThan(0.5);
    expect(same).toBeLessThan(0.66); // 0.7² + 0.3² = 0.58 when independent
  });

  it("spreads devices that nobody knows", () => {
    const seen = devices.map((_, i) => decide([{ split }], { deviceKey: "", at: noon + i }).destination);
    const part = seen.filter((destination) => destination === "https://a").length / devices.length;
    expect(part).toBeGreaterThan(0.67);
    expect(part).toBeLessThan(0.73);
  });

  it("passes on when it leads nowhere", () => {
    expect(decide([{ split: [] }]).destination).toBe("https://home");
  });
});

it.each([
  ["09:00-17:00", { from: 540, to: 1020 }],
  ["22:00-06:00", { from: 1320, to: 360 }],
  ["00:00-24:00", { from: 0, to: 1440 }],
  ["9:00-17:00", undefined],
  ["24:00-06:00", undefined],
  ["09:60-17:00", undefined],
  ["09:00-24:01", undefined],
  [" 09:00-17:00", undefined],
])("reads hours %s", (text, expected) => {
  expect(parseHours(text)).toEqual(expected);
});

it.each([
  ["Europe/Berlin", true],
  ["Europe/Paris", true],
  ["Asia/Kolkata", true],
  ["UTC", true],
  ["+02:00", false],
  ["+05:30", false],
  ["Berlin", false],
  ["Mars/Olympus", false],
  ["", false],
])("knows whether %s is a zone", (zone, expected) => {
  expect(isTimezone(zone)).toBe(expected);
});

it.each([
  [
    "iPhone",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
    "mobile",
  ],
  [
    "Android phone",
    "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "mobile",
  ],
  [
    "Android phone by Chrome's reduced name",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "mobile",
  ],
  [
    "Android tablet",
    "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "tablet",
  ],
  [
    "iPad",
    "Mozilla/5.0 (iPad; CPU OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.0 Mobile/15E148 Safari/604.1",
    "tablet",
  ],
  [
    "Mac",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "desktop",
  ],
  ["Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0", "desktop"],
  ["Linux", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "desktop"],
  ["curl", "curl/8.5.0", "unknown"],
  ["nothing", "", "unknown"],
] as const)("tells the kind of device: %s", (_case, userAgent, kind) => {
  expect(deviceKind(userAgent)).toBe(kind);
  expect(deviceKind(userAgent)).toBe(kind);
});
