import { Code } from "@connectrpc/connect";
import { failures } from "#runtime/failure.ts";

/** Refusals of the analytics service. */
export const fail = failures("analytics.waymark", {
  RANGE_REVERSED: { code: Code.InvalidArgument, say: (f) => `${f.field} must not be before the start date` },
  TOO_MANY_INTERVALS: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} gives ${f.intervals} intervals; take longer ones, at most 10,000`,
  },
  PAGE_TOKEN_INVALID: {
    code: Code.InvalidArgument,
    say: (f) => `${f.field} is not from an earlier page of the same question; begin without it`,
  },
  QUERY_TIMEOUT: { code: Code.DeadlineExceeded, say: () => "the query took too long; narrow the time range" },
  QUERY_TOO_LARGE: {
    code: Code.FailedPrecondition,
    say: () => "the query needs too much memory; narrow the time range",
  },
  BUSY: { code: Code.Unavailable, say: () => "too many queries are waiting; try again shortly" },
  NOT_READY: {
    code: Code.Unavailable,
    say: () => "the events are being made ready from the log; try again shortly",
  },
});
