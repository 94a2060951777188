import { Code } from "@connectrpc/connect";
import { failures } from "../failure.ts";

/** Refusals of the log beside OVERLOADED. An append that meets either has left nothing on the log. */
export const fail = failures("log.waymark", {
  LOG_UNAVAILABLE: { code: Code.Unavailable, say: (f) => `the log does not answer: ${f.why}; try again later` },
});
