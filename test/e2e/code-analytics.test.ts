import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { CONCIERGE, campaign, campaignDays, makeCode, type SentScan, sendScans } from "./campaign.ts";
import { clearOfMidnight, dateOf, dayBefore } from "./eventually.ts";

let waymark: Waymark;
let key: string;
const DAY_MS = 86_400_000;

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Hotel")).key;
  await clearOfMidnight();
});
afterAll(() => waymark?.stop());

const analytics = (code: string, query = "") => waymark.call("GET", `/v1/qpr-codes/${code}/analytics${query}`, { key });

/** A code of its own with these scans. */
async function codeWith(scans: readonly SentScan[]): Promise<string> {
  const { id } = await makeCode(waymark, key, {});
  const sent = await sendScans(
    waymark,
    key,
    scans.map((scan) => ({ qpr_code_id: id, ...scan })),
  );
  expect(sent.body).toEqual({ accepted: scans.length, rejected: [] });
  return id;
}

type Point = { date: string; scans: number; conversations: number };
const sum = (points: readonly Point[], of: "scans" | "conversations") =>
  points.reduce((total, point) => total + point[of], 0);

describe("the documented analytics", () => {
  beforeAll(async () => {
    await makeCode(waymark, key, CONCIERGE);
    const scans = campaign(Date.now());
    expect(scans).toHaveLength(142);
    expect((await sendScans(waymark, key, scans)).body).toEqual({ accepted: 142, rejected: [] });
  });

  it("are answered with the documented numbers, in the documented order", async () => {
    const { status, body } = await analytics("qpr_01HXYZ789ABC", "?period=30d");
    expect(status).toBe(200);
    expect(body).toStrictEqual({
      qpr_code_id: "qpr_01HXYZ789ABC",
      period: "30d",
      scans_total: 142,
      scans_unique_devices: 138,
      conversation_rate: 0.74,
      avg_messages_per_conversation: 5.2,
      top_countries: [
        { country: "US", scans: 89 },
        { country: "GB", scans: 21 },
        { country: "CA", scans: 14 },
        { country: "DE", scans: 8 },
        { country: "FR", scans: 6 },
        { country: null, scans: 4 },
      ],
      timeseries: campaignDays(),
    });
    expect(Object.keys(body)).toEqual([
      "qpr_code_id",
      "period",
      "scans_total",
      "scans_unique_devices",
      "conversation_rate",
      "avg_messages_per_conversation",
      "top_countries",
      "timeseries",
    ]);
    expect(body.timeseries.slice(0, 2)).toMatchObject([
      { scans: 8, conversations: 6 },
      { scans: 5, conversations: 4 },
    ]);
  });

  it("are those of 30 days by day when nothing is asked", async () => {
    expect((await analytics("qpr_01HXYZ789ABC")).body).toStrictEqual(
      (await analytics("qpr_01HXYZ789ABC", "?period=30d&granularity=day&timezone=UTC")).body,
    );
  });

  it("of 7 days are the sum of the last seven", async () => {
    const days = campaignDays().slice(-7);
    const { body } = await analytics("qpr_01HXYZ789ABC", "?period=7d");
    expect(body.timeseries).toStrictEqual(days);
    expect(body).toMatchObject({ period: "7d", scans_total: sum(days, "scans") });
  });

  it("of 90 days have every day, empty ones too", async () => {
    const { body } = await analytics("qpr_01HXYZ789ABC", "?period=90d");
    expect(body.timeseries.map(({ date }: Point) => date)).toEqual(
      Array.from({ length: 90 }, (_, index) => dateOf(dayBefore(89 - index))),
    );
    expect(body.timeseries[0]).toEqual({ date: dateOf(dayBefore(89)), scans: 0, conversations: 0 });
    expect(sum(body.timeseries, "scans")).toBe(142);
  });

  it("by week begin on Mondays and lose nothing", async () => {
    const { body } = await analytics("qpr_01HXYZ789ABC", "?granularity=week");
    const mondays = campaignDays().map(({ date }) => {
      const day = new Date(date);
      return dateOf(new Date(day.getTime() - ((day.getUTCDay() + 6) % 7) * DAY_MS));
    });
    expect(body.timeseries.map(({ date }: Point) => date)).toEqual([...new Set(mondays)]);
    expect([sum(body.timeseries, "scans"), sum(body.timeseries, "conversations")]).toEqual([142, 105]);
  });

  it("by hour run from midnight of the first day to this hour", async () => {
    const { body } = await analytics("qpr_01HXYZ789ABC", "?period=7d&granularity=hour");
    const first = dayBefore(6).getTime();
    const hours = Math.floor((Date.now() - first) / 3_600_000) + 1;
    expect(body.timeseries.length).toBeGreaterThanOrEqual(hours - 1);
    expect(body.timeseries.length).toBeLessThanOrEqual(hours);
    expect(body.timeseries.slice(0, 3).map(({ date }: Point) => date)).toEqual([
      `${dateOf(dayBefore(6))}T00:00:00Z`,
      `${dateOf(dayBefore(6))}T01:00:00Z`,
      `${dateOf(dayBefore(6))}T02:00:00Z`,
    ]);
    expect(sum(body.timeseries, "scans")).toBe(sum(campaignDays().slice(-7), "scans"));
  });

  it("of all begin with the day of the first scan", async () => {
    const { body } = await analytics("qpr_01HXYZ789ABC", "?period=all");
    expect(body).toMatchObject({ period: "all", scans_total: 142, scans_unique_devices: 138 });
    expect(body.timeseries).toStrictEqual(campaignDays());
  });
});

describe("numbers of a code", () => {
  it("are zero when it was never scanned, and every day is there", async () => {
    const { id } = await makeCode(waymark, key, {});
    const { body } = await analytics(id);
    expect(body).toMatchObject({
      scans_total: 0,
      scans_unique_devices: 0,
      conversation_rate: 0,
      avg_messages_per_conversation: 0,
      top_countries: [],
    });
    expect(body.timeseries).toHaveLength(30);
    expect((await analytics(id, "?period=all")).body.timeseries).toEqual([]);
  });

  it("hold the ten countries with the most scans", async () => {
    const countries = ["AT", "BE", "CH", "DE", "ES", "FR", "GB", "IT", "NL", "PL", "SE", "US"];
    const id = await codeWith(
      countries.flatMap((country, n) => Array.from({ length: n < 2 ? 1 : 2 }, () => ({ country }))),
    );
    const { body } = await analytics(id);
    expect(body.top_countries).toEqual(countries.slice(2).map((country) => ({ country, scans: 2 })));
  });

  it("count a device once in a period, on whichever days it came", async () => {
    const day = (days: number, device_id: string) => ({ scanned_at: dayBefore(days).toISOString(), device_id });
    const id = await codeWith([day(40, "a"), day(20, "a"), day(3, "a"), day(3, "b"), day(20, "c"), day(60, "d")]);
    const unique = async (period: string) => (await analytics(id, `?period=${period}`)).body.scans_unique_devices;
    expect([await unique("7d"), await unique("30d"), await unique("90d"), await unique("all")]).toEqual([2, 3, 4, 4]);
  });

  it("count late scans of known devices to the day on which they were", async () => {
    const id = await codeWith([{ scanned_at: dayBefore(1).toISOString(), device_id: "a" }]);
    await sendScans(waymark, key, [{ qpr_code_id: id, scanned_at: dayBefore(5).toISOString(), device_id: "a" }]);
    const { body } = await analytics(id, "?period=7d");
    expect(body).toMatchObject({ scans_total: 2, scans_unique_devices: 1 });
    expect(body.timeseries.map(({ scans }: Point) => scans)).toEqual([0, 1, 0, 0, 0, 1, 0]);
  });

  it("leave programs out and say in explain why", async () => {
    const id = await codeWith([{}, { user_agent: "Googlebot/2.1" }, { user_agent: "WhatsApp/2.23" }]);
    const { body } = await analytics(id, "?explain=true");
    expect(body.scans_total).toBe(1);
    expect(body.explain.filtered).toEqual({ isbot: 1, preview: 1 });
    expect(body.explain.complete_to.position).toBeGreaterThan(0);
    expect(Date.parse(body.explain.complete_to.time)).toBeLessThanOrEqual(Date.now() + 1000);
    expect(Object.keys(body.explain.rules)).toEqual(expect.arrayContaining(["verdict", "counting"]));
  });

  it("round the rate to two decimals and the average to one", async () => {
    const id = await codeWith([{ conversation_messages: 4 }, { conversation_messages: 3 }, {}]);
    expect((await analytics(id)).body).toMatchObject({ conversation_rate: 0.67, avg_messages_per_conversation: 3.5 });
  });
});

describe("a time zone", () => {
  /** 23:30 UTC three days ago is 05:15 in Nepal, 18:30 in New York and 00:30 in Berlin or 01:30 in summer. */
  const late = () => new Date(dayBefore(3).getTime() + 23.5 * 3_600_000);
  const localDate = (time: Date, timeZone: string) => new Intl.DateTimeFormat("sv-SE", { timeZone }).format(time);

  it.each(["UTC", "Asia/Kathmandu", "America/New_York", "Europe/Berlin", "Pacific/Auckland"])(
    "decides which day a scan is of: %s",
    async (zone) => {
      const id = await codeWith([{ scanned_at: late().toISOString() }]);
      const { body } = await analytics(id, `?period=7d&timezone=${zone}`);
      const day = localDate(late(), zone);
      expect(body.timeseries.filter(({ scans }: Point) => scans > 0)).toEqual([
        { date: day, scans: 1, conversations: 0 },
      ]);
      expect(body.timeseries.at(-1).date).toBe(localDate(new Date(), zone));
      expect(body.timeseries).toHaveLength(7);
    },
  );

  it("of three quarters of an hour cuts hours where its own hours are", async () => {
    const hour = (minutes: number) => ({
      scanned_at: new Date(dayBefore(3).getTime() + minutes * 60_000).toISOString(),
    });
    // 05:45 is the offset of Kathmandu: 12:14 UTC is 17:59 there, 12:15 UTC is 18:00.
    const id = await codeWith([hour(12 * 60 + 14), hour(12 * 60 + 15), hour(12 * 60 + 59), hour(13 * 60 + 14)]);
    const { body } = await analytics(id, "?period=7d&granularity=hour&timezone=Asia/Kathmandu");
    expect(body.timeseries.filter(({ scans }: Point) => scans > 0)).toEqual([
      { date: `${dateOf(dayBefore(3))}T17:00:00+05:45`, scans: 1, conversations: 0 },
      { date: `${dateOf(dayBefore(3))}T18:00:00+05:45`, scans: 3, conversations: 0 },
    ]);
  });

  it("cuts the period where its own days begin, to the minute", async () => {
    // The first of seven days in Kathmandu begins at 18:15 UTC of the day before.
    const now = Date.now();
    const firstDay = localDate(new Date(now - 6 * DAY_MS), "Asia/Kathmandu");
    const begin = Date.parse(`${firstDay}T00:00:00+05:45`);
    const id = await codeWith([
      { scanned_at: new Date(begin - 1).toISOString(), device_id: "a" },
      { scanned_at: new Date(begin).toISOString(), device_id: "b" },
    ]);
    const { body } = await analytics(id, "?period=7d&timezone=Asia/Kathmandu");
    expect(body).toMatchObject({ scans_total: 1, scans_unique_devices: 1 });
    expect(body.timeseries[0]).toEqual({ date: firstDay, scans: 1, conversations: 0 });
  });
});

describe("a question that cannot be answered", () => {
  it.each([
    ["period=14d", "period"],
    ["granularity=month", "granularity"],
    ["timezone=Mars/Olympus", "timezone"],
  ])("is refused: %s", async (query, field) => {
    const { id } = await makeCode(waymark, key, {});
    const answer = await analytics(id, `?${query}`);
    expect([answer.status, answer.body.code]).toEqual([400, "INVALID_FIELD"]);
    expect(answer.body.detail).toContain(field);
  });

  it("is 404 for an unknown, a deleted and a neighbour's code", async () => {
    const deleted = await makeCode(waymark, key, {});
    expect((await waymark.call("DELETE", `/v1/qpr-codes/${deleted.id}`, { key })).status).toBe(204);
    const theirs = await makeCode(waymark, (await waymark.workspace("Neighbour")).key, {});
    for (const id of ["qpr_nobody", deleted.id, theirs.id]) {
      const answer = await analytics(id);
      expect([answer.status, answer.body.code]).toEqual([404, "CODE_NOT_FOUND"]);
    }
  });
});
