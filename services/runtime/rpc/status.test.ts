import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { fail, reasonOf } from "../failure.ts";
import { fromStatus, toStatus } from "./status.ts";

/** A status as the other side of a wire sees it. */
function sent(error: unknown): ServiceError {
  return Object.assign(new Error(), toStatus(error)) as unknown as ServiceError;
}

const raw = (code: number, details: string, metadata = new Metadata()) =>
  Object.assign(new Error(), { code, details, metadata }) as ServiceError;

describe("a refusal on the wire", () => {
  it("keeps code, sentence, reason, facts and fields", () => {
    const back = fromStatus(sent(fail("INVALID_FIELD", { field: "scans[3].id", must: "must be short" })));
    expect([back.code, back.rawMessage]).toEqual([Code.InvalidArgument, "scans[3].id must be short"]);
    expect(reasonOf(back)).toMatchObject({
      reason: "INVALID_FIELD",
      domain: "waymark",
      metadata: { field: "scans[3].id", must: "must be short" },
    });
    expect(back.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe("scans[3].id");
  });

  it("survives a second wire", () => {
    const back = fromStatus(sent(fromStatus(sent(fail("KEY_REVOKED")))));
    expect([back.code, reasonOf(back)?.reason]).toEqual([Code.PermissionDenied, "KEY_REVOKED"]);
  });

  it.each(Object.values(Code).filter((code) => typeof code === "number"))("keeps the code %i", (code) => {
    expect(fromStatus(sent(new ConnectError("x", code))).code).toBe(code);
  });

  it("of a thousand fields keeps the first, for it travels as a header", () => {
    const error = fail("INVALID_FIELD", { field: "a", must: "must be b" });
    const fieldViolations = Array.from({ length: 1000 }, (_, i) => ({
      field: `scans[${i}].scanned_at`,
      description: "x".repeat(80),
    }));
    error.details.pop();
    error.details.push({ desc: BadRequestSchema, value: { fieldViolations } });
    const { metadata } = toStatus(error);
    expect((metadata.get("grpc-status-details-bin")[0] as Buffer).length).toBeLessThan(4096);
    expect(fromStatus(sent(error)).findDetails(BadRequestSchema)[0]?.fieldViolations).toHaveLength(20);
  });
});

it.each([new Error("10.0.0.5"), "10.0.0.5", undefined])(
  "what is no refusal is INTERNAL without a word of it: %s",
  (error) => {
    const status = toStatus(error);
    expect(status.code).toBe(Code.Internal);
    expect(status.details).not.toContain("10.0.0.5");
  },
);

describe("what a channel says of itself", () => {
  it.each([
    [14, "No connection established. Last error: connect ECONNREFUSED 10.0.0.5:9090", Code.Unavailable],
    [4, "Deadline exceeded after 1.2s, remote_addr=10.0.0.5:9090", Code.DeadlineExceeded],
    [1, "Cancelled on client 10.0.0.5", Code.Canceled],
    [13, "Received RST_STREAM with code 2 from 10.0.0.5", Code.Internal],
    [12, "The server 10.0.0.5 does not implement the method", Code.Unimplemented],
    [99, "10.0.0.5", Code.Unknown],
  ])("is told by its code alone: %i", (code, details, expected) => {
    const refusal = fromStatus(raw(code, details));
    expect(refusal.code).toBe(expected);
    expect(refusal.rawMessage).not.toContain("10.0.0.5");
    expect(refusal.cause).toMatchObject({ details });
  });

  it("is a DEADLINE at the deadline", () => {
    expect(reasonOf(fromStatus(raw(4, "")))?.reason).toBe("DEADLINE");
  });
});

it.each([
  Buffer.from([0xff, 0xff, 0xff]),
  Buffer.from("garbage"),
  Buffer.alloc(0),
  Buffer.from(toBinary(BadRequestSchema, create(BadRequestSchema, { fieldViolations: [{ field: "x" }] }))),
])("details that are not ours are no details: %#", (packed) => {
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", packed);
  expect(fromStatus(raw(5, "x", metadata)).code).toBe(Code.NotFound);
});
