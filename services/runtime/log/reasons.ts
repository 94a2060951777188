import { Code } from "@connectrpc/connect";
import { failures } from "../failure.ts";

/**
 * Refusals of the log beside OVERLOADED. After LOG_UNAVAILABLE nothing of the append is on a log in a file; of one on NATS it
 * may be there, or come late, so whoever appends again does it with the same batch id.
 */
export const fail = failures("log.waymark", {
  LOG_UNAVAILABLE: { code: Code.Unavailable, say: (f) => `the log does not answer: ${f.why}; try again later` },
  LOG_LOST: { code: Code.DataLoss, say: (f) => `the log is not the one that was read before: ${f.why}` },
});
