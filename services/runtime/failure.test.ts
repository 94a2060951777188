import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { contextOf } from "./context.ts";
import { fail as common, failures, isUnanswerable, reasonOf } from "./failure.ts";

const fail = failures("test.waymark", {
  THING_NOT_FOUND: { code: Code.NotFound, say: (f) => `thing ${f.id} does not exist` },
  THING_TOO_LARGE: { code: Code.FailedPrecondition, isUnanswerable: true, say: () => "too large" },
  THING_WRONG: { code: Code.InvalidArgument, say: (f) => `${f.field} must be right, not ${f.count}` },
});

describe("a refusal", () => {
  it("has the code and sentence of its reason, and repeats the facts as texts", () => {
    const error = fail("THING_WRONG", { field: "things[3].name", count: 7 });
    expect([error.code, error.rawMessage]).toEqual([Code.InvalidArgument, "things[3].name must be right, not 7"]);
    expect(reasonOf(error)).toMatchObject({
      reason: "THING_WRONG",
      domain: "test.waymark",
      metadata: { field: "things[3].name", count: "7" },
    });
  });

  it("names the field for those who read google.rpc.BadRequest, and only when there is one", () => {
    const [details] = fail("THING_WRONG", { field: "name", count: 1 }).findDetails(BadRequestSchema);
    expect(details?.fieldViolations).toMatchObject([{ field: "name", description: "name must be right, not 1" }]);
    expect(fail("THING_NOT_FOUND", { id: 1 }).findDetails(BadRequestSchema)).toEqual([]);
  });

  it("says when a well-made request cannot be answered, and only then", () => {
    expect([fail("THING_TOO_LARGE"), fail("THING_NOT_FOUND", { id: 1 }), new Error("x")].map(isUnanswerable)).toEqual([
      true,
      false,
      false,
    ]);
  });

  it("keeps its cause for the log, and out of what the caller is told", () => {
    const cause = new Error("hunter2");
    const error = fail("THING_NOT_FOUND", { id: "x" }, cause);
    expect(error.cause).toBe(cause);
    expect(`${error.message} ${JSON.stringify(reasonOf(error)?.metadata)}`).not.toContain("hunter2");
  });

  it("shows its table, from which the documents are made", () => {
    expect(fail.domain).toBe("test.waymark");
    expect(Object.keys(fail.reasons)).toEqual(["THING_NOT_FOUND", "THING_TOO_LARGE", "THING_WRONG"]);
  });
});

describe("the reason of an error", () => {
  it.each<[string, unknown]>([
    ["an Error", new Error("x")],
    ["a text", "x"],
    ["nothing", undefined],
    ["a ConnectError that is not ours", new ConnectError("x", Code.NotFound)],
  ])("is unknown for %s", (_case, error) => expect(reasonOf(error)).toBeUndefined());
});

it("retryable are Unavailable and Aborted alone, and no common refusal is Unknown", () => {
  const codes = Object.entries(common.reasons).map(([reason, { code }]) => ({ reason, code: code as Code }));
  const retryable = codes.filter(({ code }) => code === Code.Unavailable || code === Code.Aborted);
  expect(retryable.map(({ reason }) => reason)).toEqual(["OVERLOADED"]);
  expect(codes.filter(({ code }) => code === Code.Unknown)).toEqual([]);
});

it("a handler without context has no caller", () => {
  expect(() => contextOf({ values: { get: () => undefined } as never })).toThrow("Invalid or missing API key");
});
