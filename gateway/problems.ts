import { STATUS_CODES } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { fail, isUnanswerable, reasonOf } from "#runtime/failure.ts";
import type { Logger } from "#runtime/logger.ts";
import type { FieldFault, Problem } from "./dialects/dialect.ts";
import { InputError } from "./transcode/fault.ts";

/** Refusals of HTTP itself, given before any service is asked. docs/errors.md lists them. */
export const HTTP_REFUSALS = {
  PATH_NOT_FOUND: { status: 404, say: () => "there is nothing at this address; GET /docs lists all endpoints" },
  METHOD_NOT_ALLOWED: { status: 405, say: (what: string) => `this address takes ${what}` },
  BODY_TOO_LARGE: { status: 413, say: (what: string) => `the body may have ${what} bytes at most` },
  CONTENT_TYPE_UNSUPPORTED: { status: 415, say: (what: string) => `the body must be ${what}` },
  CONTENT_ENCODING_UNSUPPORTED: { status: 415, say: () => "the body may be encoded with gzip or not at all" },
  BODY_UNREADABLE: { status: 400, say: (what: string) => `the body ${what}` },
  URL_MALFORMED: { status: 400, say: () => "the address has a broken percent-encoding" },
} as const satisfies Record<string, { status: number; say: (what: string) => string }>;

/** A refusal of HTTP itself, with the headers that go with it. */
export class HttpRefusal extends Error {
  override readonly name = "HttpRefusal";
  readonly reason: keyof typeof HTTP_REFUSALS;
  readonly headers: Readonly<Record<string, string>>;

  constructor(reason: keyof typeof HTTP_REFUSALS, options: { what?: string; headers?: Record<string, string> } = {}) {
    super(HTTP_REFUSALS[reason].say(options.what ?? ""));
    this.reason = reason;
    this.headers = options.headers ?? {};
  }
}

/** What is known of the request that failed. */
export interface Failed {
  requestId: string;
  /** RPC or page, for the log. */
  route: string;
  log: Pick<Logger, "error">;
  /** Name for the caller of a request field in proto names. */
  nameOf?: (protoPath: string) => string;
}

const STATUS: Readonly<Record<Code, number>> = {
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
};

/** Sentences for failures that no table of reasons made: transports name hosts and drivers, which a caller must not see. */
const UNSAID: Partial<Record<Code, string>> = {
  [Code.Canceled]: "the request was cancelled",
  [Code.DeadlineExceeded]: "the request took too long; try again",
  [Code.Unavailable]: "a part of Waymark is not available; try again shortly",
  [Code.Unimplemented]: "this is not served here",
  [Code.ResourceExhausted]: "too much at once; try again shortly",
};

/** Turns whatever was thrown into a refusal for the caller. What nobody foresaw becomes INTERNAL, its cause goes to the log. */
export function problemOf(error: unknown, failed: Failed): Problem {
  const { requestId } = failed;
  if (error instanceof HttpRefusal) {
    const { status } = HTTP_REFUSALS[error.reason];
    return { status, code: undefined, reason: error.reason, message: error.message, fields: [], requestId };
  }
  if (error instanceof InputError) return inputProblem(error, requestId);
  return rpcProblem(publicError(error, failed), failed);
}

/** The error of a call as a caller may see it: refusals pass, everything else loses its text. */
export function publicError(error: unknown, { requestId, route, log }: Failed): ConnectError {
  if (error instanceof ConnectError) {
    if (reasonOf(error) !== undefined) return error;
    const unsaid = UNSAID[error.code];
    if (unsaid !== undefined) return new ConnectError(unsaid, error.code);
    if (STATUS[error.code] < 500) return error;
  }
  log.error({ route, requestId, err: error }, "a request failed");
  return fail("INTERNAL", { requestId });
}

/** Headers that a refusal asks for. */
export function problemHeaders(problem: Problem, error: unknown): Record<string, string> {
  const headers: Record<string, string> = error instanceof HttpRefusal ? { ...error.headers } : {};
  if (problem.status === 401) headers["www-authenticate"] = 'Bearer realm="Waymark"';
  if (problem.status === 503) headers["retry-after"] = "1";
  if (problem.status === 429) headers["retry-after"] = reasonOf(error)?.metadata.seconds ?? "60";
  return headers;
}

function inputProblem({ status, message, fields }: InputError, requestId: string): Problem {
  if (status === 415) {
    return { status, code: undefined, reason: "CONTENT_TYPE_UNSUPPORTED", message, fields: [], requestId };
  }
  const reason = fields.length > 0 ? "INVALID_FIELD" : "BODY_UNREADABLE";
  return { status, code: Code.InvalidArgument, reason, message, fields, requestId };
}

function rpcProblem(error: ConnectError, { requestId, nameOf }: Failed): Problem {
  const fields = error
    .findDetails(BadRequestSchema)
    .flatMap(({ fieldViolations }) =>
      fieldViolations.map(({ field, description }) => renamed({ field, message: description }, nameOf)),
    );
  const { code } = error;
  const reason =
    reasonOf(error)?.reason ?? STATUS_CODES[STATUS[code]]?.replace(/\W+/g, "_").toUpperCase() ?? "INTERNAL";
  const message = fields[0]?.message ?? error.rawMessage;
  const status = isUnanswerable(error) ? 422 : STATUS[code];
  return { status, code, reason, message, fields, requestId };
}

/** "scans[3].scanned_at is …" → "scans[3].scannedAt is …" where the dialect says so. */
function renamed({ field, message }: FieldFault, nameOf: Failed["nameOf"]): FieldFault {
  const name = field === "" || nameOf === undefined ? field : nameOf(field);
  return name === field ? { field, message } : { field: name, message: message.replaceAll(field, name) };
}
