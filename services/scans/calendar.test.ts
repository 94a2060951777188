import { describe, expect, it } from "vitest";
import { bucketsOf, type Granularity, midnight } from "./calendar.ts";

const at = (text: string) => Date.parse(text);
const iso = (ms: number) => new Date(ms).toISOString().replace(":00.000Z", "Z");
const buckets = (zone: string, granularity: Granularity, { from, now }: { from: string; now: string }) => {
  const { starts, labels } = bucketsOf({ start: midnight(at(from), zone), now: at(now), zone, granularity });
  return labels.map((label, index) => `${label} ${iso(starts[index] as number)}`);
};

describe("buckets", () => {
  it("are calendar days of the zone, longer and shorter where clocks change", () => {
    expect(buckets("America/New_York", "day", { from: "2026-03-07T12:00Z", now: "2026-03-09T12:00Z" })).toEqual([
      "2026-03-07 2026-03-07T05:00Z",
      "2026-03-08 2026-03-08T05:00Z",
      "2026-03-09 2026-03-09T04:00Z",
    ]);
  });

  it("begin later where a zone leaves midnight out, and leave out a day that a zone has left out", () => {
    expect(buckets("Africa/Cairo", "day", { from: "2026-04-23T12:00Z", now: "2026-04-24T12:00Z" })).toEqual([
      "2026-04-23 2026-04-22T22:00Z",
      "2026-04-24 2026-04-23T22:00Z",
    ]);
    expect(buckets("Pacific/Apia", "day", { from: "2011-12-29T12:00Z", now: "2012-01-01T00:00Z" })).toEqual([
      "2011-12-29 2011-12-29T10:00Z",
      "2011-12-31 2011-12-30T10:00Z",
      "2012-01-01 2011-12-31T10:00Z",
    ]);
  });

  it("are weeks from Monday on, the first from where the period begins", () => {
    expect(buckets("UTC", "week", { from: "2026-03-04T00:00Z", now: "2026-03-16T09:00Z" })).toEqual([
      "2026-03-02 2026-03-04T00:00Z",
      "2026-03-09 2026-03-09T00:00Z",
      "2026-03-16 2026-03-16T00:00Z",
    ]);
  });

  it("are hours of the clock, named with the zone's offset", () => {
    expect(buckets("UTC", "hour", { from: "2026-03-01T00:00Z", now: "2026-03-01T01:59Z" })).toEqual([
      "2026-03-01T00:00:00Z 2026-03-01T00:00Z",
      "2026-03-01T01:00:00Z 2026-03-01T01:00Z",
    ]);
    expect(buckets("Asia/Kolkata", "hour", { from: "2026-03-01T00:00Z", now: "2026-02-28T19:31Z" })).toEqual([
      "2026-03-01T00:00:00+05:30 2026-02-28T18:30Z",
      "2026-03-01T01:00:00+05:30 2026-02-28T19:30Z",
    ]);
  });

  it("are one hour fewer, one more, or one of an hour and a half, when clocks change", () => {
    const spring = buckets("America/New_York", "hour", { from: "2026-03-08T12:00Z", now: "2026-03-08T08:00Z" });
    expect(spring.map((one) => one.slice(11, 25))).toEqual([
      "00:00:00-05:00",
      "01:00:00-05:00",
      "03:00:00-04:00",
      "04:00:00-04:00",
    ]);
    const autumn = buckets("Europe/London", "hour", { from: "2026-10-25T12:00Z", now: "2026-10-25T02:00Z" });
    expect(autumn.map((one) => one.slice(11, 25))).toEqual([
      "00:00:00+01:00",
      "01:00:00+01:00",
      "01:00:00+00:00",
      "02:00:00+00:00",
    ]);
    expect(buckets("Australia/Lord_Howe", "hour", { from: "2026-10-04T00:00Z", now: "2026-10-03T16:00Z" })).toEqual([
      "2026-10-04T00:00:00+10:30 2026-10-03T13:30Z",
      "2026-10-04T01:00:00+10:30 2026-10-03T14:30Z",
      "2026-10-04T03:00:00+11:00 2026-10-03T16:00Z",
    ]);
  });

  it("are slots of a quarter of an hour put together, in every time zone there is", () => {
    for (const zone of Intl.supportedValuesOf("timeZone")) {
      for (const from of ["2000-03-26T12:00Z", "2006-04-02T12:00Z", "2011-11-06T12:00Z", "2026-10-25T12:00Z"]) {
        const { starts } = bucketsOf({
          start: midnight(at(from), zone),
          now: at(from) + 86_400_000,
          zone,
          granularity: "hour",
        });
        expect(starts.filter((start, index) => start % 900_000 !== 0 || start <= (starts[index - 1] ?? 0))).toEqual([]);
      }
    }
  });
});

it("refuses an endless list of hours, and names the field", () => {
  const range = { start: Date.UTC(2000, 0, 1), now: Date.UTC(2026, 0, 1), zone: "UTC" } as const;
  expect(() => bucketsOf({ ...range, granularity: "hour" })).toThrow(/granularity must be day or week/);
  expect(bucketsOf({ ...range, granularity: "day" }).starts).toHaveLength(9_498);
});
