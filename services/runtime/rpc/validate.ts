import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";

const validator = createValidator();

/**
 * Checks a message against the buf.validate rules of its proto. Throws INVALID_ARGUMENT with one field violation for each
 * fault, in proto names.
 */
export function validate(schema: DescMessage, message: MessageShape<DescMessage>): void {
  const result = validator.validate(schema, message);
  if (result.kind === "valid") return;
  if (result.kind === "error") throw result.error;
  const fieldViolations = result.violations.map((violation) => {
    const field = pathToString(violation.field);
    const must = violation.message.replace(/^value /, "");
    return { field, description: field === "" ? must : `${field} ${must}` };
  });
  const first = fieldViolations[0]?.description ?? "the request is invalid";
  const error = new ConnectError(first, Code.InvalidArgument);
  const metadata = { field: fieldViolations[0]?.field ?? "" };
  error.details.push({ desc: ErrorInfoSchema, value: { reason: "INVALID_FIELD", domain: "waymark", metadata } });
  error.details.push({ desc: BadRequestSchema, value: { fieldViolations } });
  throw error;
}
