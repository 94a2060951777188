import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { failures } from "#runtime/failure.ts";
import { fromStatus, toStatus } from "#runtime/rpc/status.ts";
import { HTTP_REFUSALS, HttpRefusal, problemHeaders, problemOf } from "./problems.ts";
import { InputError } from "./transcode/fault.ts";

const logged: unknown[] = [];
const log = { error: (line: unknown) => void logged.push(line) } as unknown as Parameters<typeof problemOf>[1]["log"];
const of = (error: unknown, nameOf?: (path: string) => string) =>
  problemOf(error, { requestId: "req_1", route: "r", log, nameOf });
const fail = failures("test.waymark", {
  TOO_LARGE: { code: Code.FailedPrecondition, isUnanswerable: true, say: () => "it is too large" },
  NOT_READY: { code: Code.FailedPrecondition, say: () => "it is not ready" },
  EXPIRY_PAST: { code: Code.InvalidArgument, say: ({ field }) => `${field} must be in the future` },
});

describe("the status of a gRPC code", () => {
  it.each([
    [Code.InvalidArgument, 400],
    [Code.FailedPrecondition, 400],
    [Code.OutOfRange, 400],
    [Code.Unauthenticated, 401],
    [Code.PermissionDenied, 403],
    [Code.NotFound, 404],
    [Code.AlreadyExists, 409],
    [Code.Aborted, 409],
    [Code.ResourceExhausted, 429],
    [Code.Canceled, 499],
    [Code.Unknown, 500],
    [Code.Internal, 500],
    [Code.DataLoss, 500],
    [Code.Unimplemented, 501],
    [Code.Unavailable, 503],
    [Code.DeadlineExceeded, 504],
  ])("%i is %i", (code, status) => {
    expect(of(new ConnectError("said", code)).status).toBe(status);
  });
});

describe("a refusal", () => {
  it("of a service keeps its reason and its sentence", () => {
    expect(of(fail("NOT_READY"))).toMatchObject({
      status: 400,
      reason: "NOT_READY",
      message: "it is not ready",
      fields: [],
    });
  });

  it("of a request that is well made but cannot be answered is 422, through a transport too", () => {
    expect(of(fail("TOO_LARGE"))).toMatchObject({ status: 422, reason: "TOO_LARGE", message: "it is too large" });
    const { code, details, metadata } = toStatus(fail("TOO_LARGE"));
    expect(of(fromStatus({ code, details, metadata }))).toMatchObject({ status: 422, reason: "TOO_LARGE" });
  });

  it("names its field as the caller does, in its sentence too", () => {
    const problem = of(fail("EXPIRY_PAST", { field: "items[2].expires_at" }), (path) =>
      path.replace("expires_at", "expiresAt"),
    );
    const message = "items[2].expiresAt must be in the future";
    expect(problem).toMatchObject({
      reason: "EXPIRY_PAST",
      message,
      fields: [{ field: "items[2].expiresAt", message }],
    });
  });

  it("has all faults, and says the first", () => {
    const error = new ConnectError("many", Code.InvalidArgument);
    const fieldViolations = [
      { field: "a", description: "a must be set" },
      { field: "b", description: "b must be set" },
    ];
    error.details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
    expect(of(error)).toMatchObject({ message: "a must be set", fields: [{ field: "a" }, { field: "b" }] });
  });

  it("of the transcoder is about fields or about the body", () => {
    const faults = [{ field: "limit", message: "limit must be a number" }];
    expect(of(new InputError("limit must be a number", faults))).toMatchObject({
      status: 400,
      reason: "INVALID_FIELD",
      fields: faults,
    });
    expect(of(new InputError("the body is no JSON"))).toMatchObject({ status: 400, reason: "BODY_UNREADABLE" });
    expect(of(new InputError("send JSON", [], 415))).toMatchObject({ status: 415, reason: "CONTENT_TYPE_UNSUPPORTED" });
  });

  it.each(Object.entries(HTTP_REFUSALS))("of HTTP itself has no gRPC code: %s", (reason, { status }) => {
    const error = new HttpRefusal(reason as keyof typeof HTTP_REFUSALS, { what: "GET" });
    expect(of(error)).toMatchObject({ status, reason, code: undefined });
  });
});

describe("what nobody foresaw", () => {
  it.each([
    ["an error", new Error("password=hunter2")],
    ["a transport's error", new ConnectError("connect 10.0.0.7:9000 password=hunter2", Code.Unavailable)],
    ["an internal error", new ConnectError("password=hunter2", Code.Internal)],
    ["no error at all", "password=hunter2"],
  ])("says nothing of itself: %s", (_says, error) => {
    expect(of(error).message).not.toContain("hunter2");
  });

  it("goes to the log with the request's id", () => {
    logged.length = 0;
    const cause = new Error("disk");
    expect(of(cause)).toMatchObject({
      status: 500,
      reason: "INTERNAL",
      requestId: "req_1",
      message: expect.stringContaining("req_1"),
    });
    expect(logged).toEqual([{ route: "r", requestId: "req_1", err: cause }]);
  });
});

describe("headers of a refusal", () => {
  it.each([
    [new ConnectError("who", Code.Unauthenticated), { "www-authenticate": 'Bearer realm="Waymark"' }],
    [new ConnectError("busy", Code.Unavailable), { "retry-after": "1" }],
    [new ConnectError("slow", Code.ResourceExhausted), { "retry-after": "60" }],
    [new HttpRefusal("METHOD_NOT_ALLOWED", { headers: { allow: "GET" } }), { allow: "GET" }],
    [new ConnectError("no", Code.NotFound), {}],
  ])("of %s", (error, headers) => {
    expect(problemHeaders(of(error), error)).toEqual(headers);
  });
});
