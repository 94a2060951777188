import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the touchpoints service, in the sentences that the vendor documents where it does. */
export const fail = failures("touchpoints.waymark", {
  MISSING_PARAMETER: { code: Code.InvalidArgument, say: (f) => `Missing required parameter: ${f.parameter}` },
  INVALID_PARAMETER: { code: Code.InvalidArgument, say: (f) => `Invalid value for ${f.parameter}: must be ${f.must}` },
  EXPERIENCE_NOT_FOUND: { code: Code.NotFound, say: () => "Experience not found" },
  USER_NOT_FOUND: { code: Code.NotFound, say: () => "User not found" },
  TOUCHPOINT_NOT_FOUND: { code: Code.NotFound, say: () => "Touchpoint not found" },
  ID_TAKEN: { code: Code.AlreadyExists, say: (f) => `The id ${f.id} is taken; choose another` },
  VALUE_TAKEN: { code: Code.AlreadyExists, say: (f) => `The value ${f.value} is taken; choose another` },
});
