import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";

/** Facts that a refusal repeats to the caller. Never a secret, an address, a message text or a medical word. */
export type Facts = Readonly<Record<string, string | number>>;

/** One line of a service's table of refusals: the gRPC code and the sentence for the caller. */
export interface Reason {
  code: Code;
  say: (facts: Facts) => string;
  /** The request is well made, but what it asks for cannot be answered: the gateway says 422, whatever the code. */
  isUnanswerable?: boolean;
}

/** The fact by which a gateway in another process knows what cannot be answered. */
const UNANSWERABLE = "unanswerable";

/**
 * Makes the `fail` of one service from its table. `fail(REASON, facts)` returns a ConnectError to be thrown; it carries
 * the reason and facts as google.rpc.ErrorInfo, and, when facts has `field`, that field as google.rpc.BadRequest.
 * `field` is a path in proto names: "scans[3].scanned_at".
 */
export function failures<const T extends Record<string, Reason>>(domain: string, reasons: T) {
  const fail = (reason: keyof T & string, facts: Facts = {}, cause?: unknown): ConnectError => {
    const { code, say, isUnanswerable = false } = reasons[reason] as Reason;
    const message = say(facts);
    const metadata = Object.fromEntries(Object.entries(facts).map(([k, v]) => [k, String(v)]));
    if (isUnanswerable) metadata[UNANSWERABLE] = "true";
    const error = new ConnectError(message, code, undefined, undefined, cause);
    error.details.push({ desc: ErrorInfoSchema, value: { reason, domain, metadata } });
    if (facts.field !== undefined) {
      const fieldViolations = [{ field: String(facts.field), description: message }];
      error.details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
    }
    return error;
  };
  return Object.assign(fail, { domain, reasons });
}

/** Refusals that any service may give; docs/errors.md lists them first. */
export const fail = failures("waymark", {
  INVALID_FIELD: { code: Code.InvalidArgument, say: (f) => `${f.field} ${f.must}` },
  UNAUTHENTICATED: { code: Code.Unauthenticated, say: () => "Invalid or missing API key" },
  PERMISSION_DENIED: { code: Code.PermissionDenied, say: (f) => `this key lacks the scope ${f.scope}` },
  KEY_REVOKED: { code: Code.PermissionDenied, say: () => "this key is revoked or has expired; use another" },
  ADDRESS_NOT_ALLOWED: { code: Code.PermissionDenied, say: () => "this key may not be used from this address" },
  ORIGIN_NOT_ALLOWED: { code: Code.PermissionDenied, say: () => "this key may not be used from this origin" },
  RATE_LIMITED: { code: Code.ResourceExhausted, say: (f) => `too many requests; try again in ${f.seconds} s` },
  OVERLOADED: { code: Code.Unavailable, say: () => "the intake queue is full; try again shortly" },
  DEADLINE: { code: Code.DeadlineExceeded, say: () => "the request took too long; try again" },
  INTERNAL: { code: Code.Internal, say: (f) => `something went wrong on our side; request ${f.requestId}` },
});

/** A gRPC code as a word: NotFound → "NOT_FOUND". */
export function codeWord(code: Code): string {
  return (Code[code] ?? "Unknown").replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
}

/** The reason and facts of a refusal, or undefined when the error is not one of ours. */
export function reasonOf(
  error: unknown,
): { reason: string; domain: string; metadata: Record<string, string> } | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  return error.findDetails(ErrorInfoSchema)[0];
}

/** Whether a refusal says that a well-made request cannot be answered. */
export function isUnanswerable(error: unknown): boolean {
  return reasonOf(error)?.metadata[UNANSWERABLE] === "true";
}
