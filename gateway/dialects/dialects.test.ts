import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Dialect as DialectName } from "#gen/waymark/options/v1/options_pb.ts";
import type { Dialect, Problem } from "./dialect.ts";
import { dialectOfPath, dialects } from "./table.ts";

const dialectOf = (name: keyof typeof DialectName) => dialects.get(DialectName[name]) as Dialect;
const missing: Problem = {
  status: 404,
  code: Code.NotFound,
  reason: "TAG_NOT_FOUND",
  message: "tag tag_1 does not exist",
  fields: [],
  requestId: "req_1",
};
const faulty: Problem = {
  status: 400,
  code: Code.InvalidArgument,
  reason: "INVALID_FIELD",
  message: "limit must be 1 to 200",
  fields: [
    { field: "limit", message: "limit must be 1 to 200" },
    { field: "since", message: "since must be a time" },
    { field: "since", message: "since must be before until" },
  ],
  requestId: "req_1",
};

const PROBLEM_404 = {
  type: "about:blank",
  title: "Not Found",
  status: 404,
  detail: missing.message,
  code: missing.reason,
};
const PROBLEM_400 = {
  type: "about:blank",
  title: "Bad Request",
  status: 400,
  detail: faulty.message,
  code: faulty.reason,
};

describe("the body of a refusal", () => {
  it.each([
    ["SCANS", missing, "application/problem+json", { ...PROBLEM_404, request_id: "req_1" }],
    ["SCANS", faulty, "application/problem+json", { ...PROBLEM_400, request_id: "req_1", errors: faulty.fields }],
    ["PLATFORM", missing, "application/problem+json", { ...PROBLEM_404, requestId: "req_1" }],
    ["PLATFORM", faulty, "application/problem+json", { ...PROBLEM_400, requestId: "req_1", errors: faulty.fields }],
    ["IMPRESSIONS", missing, "application/json", { error: "Not Found", message: missing.message }],
    ["IMPRESSIONS", faulty, "application/json", { error: "Bad Request", message: faulty.message }],
    ["TAGS", missing, "application/json", { success: false, error: { code: "NOT_FOUND", message: missing.message } }],
    [
      "TAGS",
      faulty,
      "application/json",
      {
        success: false,
        error: {
          code: "VALIDATION_ERROR",
          message: "Invalid input data",
          details: { limit: ["limit must be 1 to 200"], since: ["since must be a time", "since must be before until"] },
        },
      },
    ],
    [
      "ANALYTICS",
      missing,
      "application/json",
      { error: { code: 404, codeType: "NOT_FOUND", message: missing.message, details: [] } },
    ],
    [
      "ANALYTICS",
      faulty,
      "application/json",
      { error: { code: 400, codeType: "INVALID_ARGUMENT", message: faulty.message, details: faulty.fields } },
    ],
    ["TOUCHPOINTS", missing, "application/json", { statusCode: 404, message: missing.message }],
    ["TOUCHPOINTS", faulty, "application/json", { statusCode: 400, message: faulty.message }],
  ] as const)("of %s", (name, problem, contentType, body) => {
    const written = dialectOf(name).error(problem);
    expect({ contentType: written.contentType, body: JSON.parse(written.body) }).toEqual({ contentType, body });
  });

  it.each([
    [401, "UNAUTHORIZED"],
    [403, "FORBIDDEN"],
    [405, "METHOD_NOT_ALLOWED"],
    [409, "CONFLICT"],
    [413, "PAYLOAD_TOO_LARGE"],
    [415, "UNSUPPORTED_MEDIA_TYPE"],
    [429, "RATE_LIMITED"],
    [500, "INTERNAL_ERROR"],
    [503, "UNAVAILABLE"],
  ])("of tags says status %i as %s", (status, code) => {
    expect(JSON.parse(dialectOf("TAGS").error({ ...missing, status }).body).error.code).toBe(code);
  });

  it("of analytics names the reason where no gRPC code stands behind it", () => {
    const { body } = dialectOf("ANALYTICS").error({
      ...missing,
      status: 405,
      code: undefined,
      reason: "METHOD_NOT_ALLOWED",
    });
    expect(JSON.parse(body).error.codeType).toBe("METHOD_NOT_ALLOWED");
  });
});

describe("the envelope of a success", () => {
  const info = { status: 201, message: "Made", meta: undefined };
  it.each([
    ["SCANS", info, '{"a":1}'],
    ["IMPRESSIONS", info, '{"a":1}'],
    ["ANALYTICS", info, '{"a":1}'],
    ["PLATFORM", info, '{"a":1}'],
    ["TAGS", info, '{"success":true,"data":{"a":1}}'],
    ["TAGS", { ...info, meta: '{"total":1}' }, '{"success":true,"data":{"a":1},"meta":{"total":1}}'],
    ["TOUCHPOINTS", info, '{"statusCode":201,"message":"Made","data":{"a":1}}'],
  ] as const)("of %s", (name, given, wrapped) => {
    expect(dialectOf(name).wrap('{"a":1}', given)).toBe(wrapped);
  });
});

describe("the dialect of a path that nothing is at", () => {
  it.each([
    ["/v1/nothing", "scans"],
    ["/v1", "scans"],
    ["/api/v1/nothing", "tags"],
    ["/analytics/v1/nothing", "analytics"],
    ["/analytics", "analytics"],
    ["/v3/nothing", "touchpoints"],
    ["/waymark/v1/nothing", "platform"],
    ["/v10/nothing", undefined],
    ["/waymark.tags.v1.TagService/GetTag", undefined],
    ["/", undefined],
  ])("%s is of %s", (path, name) => {
    expect(dialectOfPath(path)?.name).toBe(name);
  });
});
