import { create } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { expect, it } from "vitest";
import { CreateScansRequestSchema, ScanInputSchema } from "#gen/waymark/scans/v1/scans_pb.ts";
import { compileChecks } from "./limits.ts";

const validator = createValidator();
const check = compileChecks(ScanInputSchema);

it("checks an item exactly as protovalidate does", () => {
  const text = (limit: number) =>
    fc.oneof(
      fc.string(),
      fc.string({ minLength: limit - 1, maxLength: limit + 1, unit: fc.constantFrom("a", "é", "😀") }),
    );
  const scan = fc.record(
    {
      id: fc.oneof(text(64), fc.stringMatching(/^[A-Za-z0-9_.:-]{0,66}$/)),
      qprCodeId: text(64),
      shortId: text(64),
      ip: text(64),
      country: fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom("DE", "de", "", "D1", "DEU", "DE\n")),
      region: text(100),
      city: text(100),
      device: fc.integer({ min: -1, max: 6 }),
      deviceId: text(256),
      conversationMessages: fc.constantFrom(-1, 0, 1, 1_000_000, 1_000_001),
    },
    { requiredKeys: [] },
  );
  const property = fc.property(scan, (fields) => {
    const message = create(ScanInputSchema, fields as object);
    const result = validator.validate(ScanInputSchema, message);
    const wrong =
      result.kind === "invalid"
        ? result.violations.map(({ field }) => field.map((part) => ("name" in part ? part.name : ""))[0])
        : [];
    expect(check(message)?.field).toEqual(wrong[0]);
  });
  fc.assert(property, { numRuns: 1000 });
});

it("refuses to start with a rule that it would not check", () => {
  expect(() => compileChecks(CreateScansRequestSchema)).toThrow("a rule of kind repeated is not checked for items");
});
