import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { DESKTOP, PHONE } from "./phones.ts";

let waymark: Waymark;
let key: string;

beforeAll(async () => {
  waymark = await startWaymark({ WAYMARK_TRUSTED_PROXIES: "127.0.0.0/8" });
  key = (await waymark.workspace("Routing")).key;
});
afterAll(() => waymark?.stop());

const ELSE = "https://example.com/else";
const RULE = "https://example.com/rule";

const codeWith = (rules: object[]) => makeCode(waymark, key, { destination: ELSE, routing: { rules } });
const scan = async (code: { short_id: string }, headers: Record<string, string> = {}) =>
  (await waymark.call("GET", `/s/${code.short_id}`, { headers: { "user-agent": PHONE, ...headers } })).headers.get(
    "location",
  );
const route = async (code: { id: string }, facts: object) =>
  (await waymark.call("POST", `/v1/qpr-codes/${code.id}/route`, { key, body: facts })).body;
const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString();

describe("a rule by", () => {
  it("device leads its devices alone", async () => {
    const code = await codeWith([{ name: "phones", when: { device: ["mobile"] }, destination: RULE }]);
    expect(await scan(code)).toBe(RULE);
    expect(await scan(code, { "user-agent": DESKTOP })).toBe(ELSE);
    expect(await route(code, { device: "mobile" })).toEqual({ rule: "phones", destination: RULE });
    expect(await route(code, { device: "desktop" })).toEqual({ rule: null, destination: ELSE });
    expect(await route(code, {})).toEqual({ rule: null, destination: ELSE });
  });

  it("language matches what the browser asks for first, wider tags hold narrower ones", async () => {
    const code = await codeWith([{ when: { language: ["de", "fr-CA"] }, destination: RULE }]);
    expect(await scan(code, { "accept-language": "de-AT,en;q=0.5" })).toBe(RULE);
    expect(await scan(code, { "accept-language": "fr-CA" })).toBe(RULE);
    expect(await scan(code, { "accept-language": "fr-FR" })).toBe(ELSE);
    expect(await route(code, { language: "de" })).toEqual({ rule: 0, destination: RULE });
  });

  it("country looks at the address", async () => {
    const code = await codeWith([{ name: "us", when: { country: ["US", "CA"] }, destination: RULE }]);
    expect(await scan(code, { "x-forwarded-for": "8.8.8.8" })).toBe(RULE);
    expect(await scan(code, { "x-forwarded-for": "127.0.0.1" })).toBe(ELSE);
    expect(await route(code, { country: "ca" })).toEqual({ rule: "us", destination: RULE });
    expect(await route(code, { country: "FR" })).toEqual({ rule: null, destination: ELSE });
  });

  it("time leads from its beginning until before its end", async () => {
    const now = await codeWith([{ when: { after: inMinutes(-5), before: inMinutes(5) }, destination: RULE }]);
    const past = await codeWith([{ when: { before: inMinutes(-5) }, destination: RULE }]);
    const future = await codeWith([{ when: { after: inMinutes(5) }, destination: RULE }]);
    expect([await scan(now), await scan(past), await scan(future)]).toEqual([RULE, ELSE, ELSE]);
    expect((await route(future, { time: inMinutes(6) })).destination).toBe(RULE);
  });

  it("days and hours are those of its time zone", async () => {
    const code = await codeWith([
      { when: { days: ["mon"], hours: "09:00-17:00", timezone: "America/New_York" }, destination: RULE },
    ]);
    const at = async (time: string) => (await route(code, { time })).destination;
    expect(await at("2026-03-23T13:00:00Z")).toBe(RULE);
    expect(await at("2026-03-23T12:59:59Z")).toBe(ELSE);
    expect(await at("2026-03-23T20:59:59Z")).toBe(RULE);
    expect(await at("2026-03-23T21:00:00Z")).toBe(ELSE);
    expect(await at("2026-03-24T13:00:00Z")).toBe(ELSE);
    const night = await codeWith([{ when: { hours: "22:00-06:00" }, destination: RULE }]);
    expect((await route(night, { time: "2026-03-23T23:00:00Z" })).destination).toBe(RULE);
    expect((await route(night, { time: "2026-03-23T05:59:00Z" })).destination).toBe(RULE);
    expect((await route(night, { time: "2026-03-23T06:00:00Z" })).destination).toBe(ELSE);
  });

  it("the number of scans leads the first ones alone", async () => {
    const code = await codeWith([{ name: "first", when: { scans_below: 2 }, destination: RULE }]);
    expect(await scan(code)).toBe(RULE);
    expect(await scan(code)).toBe(RULE);
    await eventually(async () => expect(await scan(code)).toBe(ELSE));
    expect(await route(code, {})).toEqual({ rule: null, destination: ELSE });
  });
});

it("the first rule that matches wins, and all of its parts must match", async () => {
  const code = await codeWith([
    { when: { device: ["mobile"], language: ["de"] }, destination: "https://example.com/1" },
    { when: { device: ["mobile"] }, destination: "https://example.com/2" },
    { when: {}, destination: "https://example.com/3" },
  ]);
  expect(await scan(code, { "accept-language": "de" })).toBe("https://example.com/1");
  expect(await scan(code)).toBe("https://example.com/2");
  expect(await scan(code, { "user-agent": DESKTOP, "accept-language": "de" })).toBe("https://example.com/3");
});

describe("a split", () => {
  const A = "https://example.com/a";
  const B = "https://example.com/b";
  const split = () =>
    codeWith([
      {
        name: "test",
        when: {},
        split: [
          { weight: 75, destination: A },
          { weight: 25, destination: B },
        ],
      },
    ]);

  it("keeps to a device and follows its weights over many", async () => {
    const code = await split();
    const devices = Array.from({ length: 400 }, (_, n) => ({ "x-forwarded-for": `9.9.${n >> 8}.${n & 255}` }));
    const round = () => Promise.all(devices.map((device) => scan(code, device)));
    const first = await round();
    expect(await round()).toEqual(first);
    const share = first.filter((location) => location === A).length / devices.length;
    expect(share).toBeGreaterThan(0.65);
    expect(share).toBeLessThan(0.85);
    expect(new Set(first)).toEqual(new Set([A, B]));
  });

  it("keeps to a device in the dry run too", async () => {
    const code = await split();
    const of = (device_id: string) => route(code, { device_id });
    const first = await Promise.all(Array.from({ length: 40 }, (_, n) => of(`device-${n}`)));
    const again = await Promise.all(Array.from({ length: 40 }, (_, n) => of(`device-${n}`)));
    expect(again).toEqual(first);
    expect(new Set(first.map(({ destination }) => destination))).toEqual(new Set([A, B]));
    expect(new Set(first.map(({ rule }) => rule))).toEqual(new Set(["test"]));
  });
});

it("a dry run records nothing, and answers for a paused code as if it were active", async () => {
  const code = await codeWith([{ when: {}, destination: RULE }]);
  await waymark.call("PATCH", `/v1/qpr-codes/${code.id}`, { key, body: { status: "paused" } });
  expect(await route(code, {})).toEqual({ rule: 0, destination: RULE });
  await waymark.idle();
  const { body } = await waymark.call("GET", `/v1/scans?qpr_code_id=${code.id}&include_bots=true`, { key });
  expect(body.total).toBe(0);
  const bare = await makeCode(waymark, key, {});
  expect(await route(bare, {})).toEqual({ rule: null, destination: null });
});

it.each([
  [{ device: "toaster" }, "device"],
  [{ country: "USA" }, "country"],
  [{ time: "noon" }, "time"],
])("a dry run refuses %s", async (facts, field) => {
  const code = await codeWith([]);
  const answer = await waymark.call("POST", `/v1/qpr-codes/${code.id}/route`, { key, body: facts });
  expect(answer.status).toBe(400);
  expect(answer.body.detail).toContain(field);
});
