import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the emergency service. None holds a medical word. */
export const fail = failures("emergency.waymark", {
  EMERGENCY_NOT_FOUND: { code: Code.NotFound, say: () => "There is no emergency information for this tag" },
  FIELD_INVALID: { code: Code.InvalidArgument, say: (f) => `${f.field} ${f.must}` },
  ACCESS_LOG_BUSY: { code: Code.Unavailable, say: () => "The access log is busy; try again" },
});
