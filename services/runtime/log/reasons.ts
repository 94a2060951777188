import { Code } from "@connectrpc/connect";
import { failures } from "../failure.ts";

/** Refusals of the log beside OVERLOADED. After either, nothing of the append is on the log. */
export const fail = failures("log.waymark", {
  LOG_UNAVAILABLE: { code: Code.Unavailable, say: (f) => `the log cannot take records: ${f.why}; try again later` },
});
