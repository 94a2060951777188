import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { CreateKeyRequestSchema } from "#gen/waymark/access/v1/keys_pb.ts";
import { UpdateWorkspaceRequestSchema } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { reasonOf } from "../failure.ts";
import { validate } from "./validate.ts";

function faults<D extends DescMessage>(schema: D, init: MessageInitShape<D>) {
  try {
    validate(schema, create(schema, init));
    return [];
  } catch (error) {
    const refusal = ConnectError.from(error);
    expect([refusal.code, reasonOf(error)?.reason]).toEqual([Code.InvalidArgument, "INVALID_FIELD"]);
    expect(reasonOf(error)?.metadata.field).toBe(refusal.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field);
    return refusal
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations.map(({ field, description }) => `${field}: ${description}`));
  }
}

describe("a message against the rules of its proto", () => {
  it("passes when it keeps them", () => {
    expect(faults(CreateKeyRequestSchema, { name: "shop", scopes: ["codes:read"] })).toEqual([]);
  });

  it("names every fault at once, in proto names, each in a sentence that begins with the field", () => {
    expect(faults(CreateKeyRequestSchema, { class: "king", origins: ["https://a.example", "a b"] })).toEqual([
      "name: name is required",
      expect.stringMatching(/^class: class must be in list \[/),
      expect.stringMatching(/^scopes: scopes must contain at least 1 item/),
      expect.stringMatching(/^origins\[1\]: origins\[1\] (does not|must) match/),
    ]);
  });

  it("names a field inside a field", () => {
    const [fault] = faults(UpdateWorkspaceRequestSchema, { retention: { scansDays: -1 } });
    expect(fault).toMatch(/^retention.scans_days: retention.scans_days must be/);
  });

  it("never repeats what was sent", () => {
    const said = faults(CreateKeyRequestSchema, { name: "s3cret".repeat(100), class: "s3cret", origins: ["s3cret"] });
    expect(said.length).toBeGreaterThan(2);
    expect(said.join()).not.toContain("s3cret");
  });
});
