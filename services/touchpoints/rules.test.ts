import { expect, it } from "vitest";
import { faultOf, readPage, readQuestion } from "./rules.ts";

const nothing = { metricsType: "", experienceId: "", userId: "", touchpointId: "", visitsType: "", offset: 0 };
const types = "must be one of EXPERIENCE, USER, TOUCHPOINT";

it.each([
  ["nothing", {}, "Missing required parameter: metricsType"],
  ["an unknown metricsType", { metricsType: "ALL" }, `Invalid value for metricsType: ${types}`],
  ["a metricsType in lower case", { metricsType: "user" }, `Invalid value for metricsType: ${types}`],
  ["EXPERIENCE alone", { metricsType: "EXPERIENCE" }, "Missing required parameter: experienceId"],
  ["USER alone", { metricsType: "USER" }, "Missing required parameter: experienceId"],
  ["USER without user", { metricsType: "USER", experienceId: "e" }, "Missing required parameter: userId"],
  ["TOUCHPOINT alone", { metricsType: "TOUCHPOINT", experienceId: "e" }, "Missing required parameter: touchpointId"],
  [
    "an unknown visitsType",
    { metricsType: "TOUCHPOINT", touchpointId: "t", visitsType: "FIRST" },
    "Invalid value for visitsType: must be one of TOTAL, UNIQUE",
  ],
  [
    "a missing touchpoint before an unknown visitsType",
    { metricsType: "TOUCHPOINT", visitsType: "FIRST" },
    "Missing required parameter: touchpointId",
  ],
  [
    "a pageSize of 0",
    { metricsType: "EXPERIENCE", experienceId: "e", pageSize: 0 },
    "Invalid value for pageSize: must be from 1 to 1000",
  ],
  [
    "a pageSize of 1001",
    { metricsType: "TOUCHPOINT", touchpointId: "t", pageSize: 1001 },
    "Invalid value for pageSize: must be from 1 to 1000",
  ],
  [
    "a negative offset",
    { metricsType: "TOUCHPOINT", touchpointId: "t", offset: -1 },
    "Invalid value for offset: must be 0 or more",
  ],
])("refuses %s", (_case, given, message) => {
  expect(() => readQuestion({ ...nothing, ...given })).toThrow(message);
});

it.each(["EXPERIENCE", "USER"])("does not look at visitsType with %s", (metricsType) => {
  const request = { ...nothing, metricsType, experienceId: "e", userId: "u", visitsType: "FIRST" };
  expect(readQuestion(request)).toMatchObject({ about: metricsType, experienceId: "e" });
});

it("reads TOUCHPOINT as TOTAL with 50 from 0 unless told otherwise", () => {
  const question = readQuestion({ ...nothing, metricsType: "TOUCHPOINT", touchpointId: "t" });
  const page = { pageSize: 50, offset: 0 };
  expect(question).toStrictEqual({ about: "TOUCHPOINT", touchpointId: "t", visits: "TOTAL", page });
});

it("takes the largest page", () => {
  expect(readPage({ pageSize: 1000, offset: 7 })).toStrictEqual({ pageSize: 1000, offset: 7 });
});

const NOW = Date.UTC(2026, 0, 1);

it.each([
  ["an id with a space", { id: "a b" }, "id must be 1 to 64 of A-Z a-z 0-9 _ . : -"],
  ["an id of 65 characters", { id: "x".repeat(65) }, "id must be 1 to 64 of A-Z a-z 0-9 _ . : -"],
  ["an empty id", { id: "" }, "id must be 1 to 64 of A-Z a-z 0-9 _ . : -"],
  ["no touchpoint", { touchpointId: "" }, "touchpointId is required"],
  ["no user", { userId: "" }, "userId is required"],
  ["a user of 129 characters", { userId: "x".repeat(129) }, "userId must be at most 128 characters"],
  ["a time in seconds taken for milliseconds", { at: 1_700_000_000 }, "timestampUTC must not be before the year 2000"],
  ["a time too far ahead", { at: NOW + 600_001 }, "timestampUTC must be at most 10 minutes ahead"],
])("finds fault with a scan that has %s", (_case, given, message) => {
  expect(faultOf({ touchpointId: "tp-1", userId: "user-1", ...given }, NOW)).toBe(message);
});

it.each([{}, { id: "a.B_1:-" }, { at: NOW + 600_000 }, { at: Date.UTC(2000, 0, 1) }, { userId: "anna@example.com" }])(
  "finds no fault with a scan that has %o",
  (given) => {
    expect(faultOf({ touchpointId: "tp-1", userId: "user-1", ...given }, NOW)).toBeUndefined();
  },
);
