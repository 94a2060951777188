import { describe, expect, it } from "vitest";
import { formatDuration, formatTime, parseDuration, parseTime } from "./time.ts";

describe("a time", () => {
  it.each([
    ["2026-03-20", "2026-03-20T00:00:00.000Z"],
    ["2026-03-20T15:30:00Z", "2026-03-20T15:30:00.000Z"],
    ["2026-03-20T15:30Z", "2026-03-20T15:30:00.000Z"],
    ["2026-03-20t15:30:00z", "2026-03-20T15:30:00.000Z"],
    ["2026-03-20T15:30:00.25Z", "2026-03-20T15:30:00.250Z"],
    ["2026-03-20T15:30:00.123999999Z", "2026-03-20T15:30:00.123Z"],
    ["2026-03-20T15:30:00.001Z", "2026-03-20T15:30:00.001Z"],
    ["2026-03-20T15:30:00+02:00", "2026-03-20T13:30:00.000Z"],
    ["2026-03-20T15:30:00-0930", "2026-03-21T01:00:00.000Z"],
    ["2026-03-20T15:30:00+05", "2026-03-20T10:30:00.000Z"],
    ["2024-02-29", "2024-02-29T00:00:00.000Z"],
    ["1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"],
    ["0001-01-01", "0001-01-01T00:00:00.000Z"],
    ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
  ])("is read from %s", (text, expected) => {
    const time = parseTime(text);
    expect(time === undefined ? undefined : new Date(time).toISOString()).toBe(expected);
  });

  it.each([
    "",
    "now",
    "2026",
    "2026-03",
    "2026-3-2",
    "2026-02-30",
    "2025-02-29",
    "2026-13-01",
    "2026-00-01",
    "2026-01-00",
    "2026-03-20T15:30:00",
    "2026-03-20T15:30",
    "2026-03-20T24:00:00Z",
    "2026-03-20T15:60:00Z",
    "2026-03-20T15:30:60Z",
    "2026-03-20T15:30:00+24:00",
    "2026-03-20T15:30:00+02:60",
    "2026-03-20 15:30:00Z",
    " 2026-03-20",
    "2026-03-20Z",
    "0000-01-01",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "1774020600",
    "2026-03-20T15:30:00.Z",
    "+002026-03-20T00:00:00Z",
    "20260320T153000Z",
  ])("is not %j", (text) => expect(parseTime(text)).toBeUndefined());

  it("is written with or without milliseconds", () => {
    const time = Date.parse("2026-03-20T15:30:00.250Z");
    expect(formatTime(time, true)).toBe("2026-03-20T15:30:00.250Z");
    expect(formatTime(time, false)).toBe("2026-03-20T15:30:00Z");
    expect(formatTime(Number.NaN, true)).toBeUndefined();
    expect(formatTime(8.64e15, true)).toBeUndefined();
  });
});

describe("a duration", () => {
  it.each([
    ["0s", "0s"],
    ["3s", "3s"],
    ["3.5s", "3.500s"],
    ["-3.5s", "-3.500s"],
    ["0.000001s", "0.000001s"],
    ["0.000000001s", "0.000000001s"],
    ["-0.5s", "-0.500s"],
    ["315576000000s", "315576000000s"],
  ])("%s is written as %s", (text, expected) => {
    const duration = parseDuration(text);
    expect(duration && formatDuration(duration.seconds, duration.nanos)).toBe(expected);
  });

  it.each(["", "3", "s", "3 s", "1m", "315576000001s", "1.0000000001s", "--1s", "1e3s"])("is not %j", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});
