import type { Code } from "@connectrpc/connect";

/** What was wrong with one field of a request, in the names of the caller's dialect. */
export interface FieldFault {
  /** Where: "scans[3].scanned_at", "limit". */
  field: string;
  /** A full sentence that names the field. */
  message: string;
}

/** A refusal, before a dialect gives it its shape. */
export interface Problem {
  /** HTTP status. */
  status: number;
  /** gRPC code that the status came from; undefined for refusals of HTTP itself (404 path, 405, 413, 415). */
  code: Code | undefined;
  /** Reason, as in docs/errors.md: "TAG_NOT_FOUND". */
  reason: string;
  /** Sentence for the caller. */
  message: string;
  /** Faults of single fields, when it is about input. */
  fields: readonly FieldFault[];
  requestId: string;
}

/** How one of the public APIs writes JSON. Everything that differs between them, and nothing else. */
export interface Dialect {
  /** Word in docs and tags: "scans". */
  name: string;
  /** Names in request and response bodies: proto names, or json names. */
  bodyNames: "proto" | "json";
  /** Names of query parameters. */
  queryNames: "proto" | "json";
  /** Times carry milliseconds: `2025-06-01T15:35:00.000Z`; otherwise they have none. */
  milliseconds: boolean;
  /** 64-bit integers are JSON strings. Read as number or string everywhere. */
  int64AsString: boolean;
  /** Whether a client, by its user agent, reads 64-bit integers as JSON numbers only, and gets them so. Absent: none does. */
  wantsNumbers?: (userAgent: string) => boolean;
  /** All 64-bit integers are numbers, whatever a field says of itself. */
  isAllNumbers?: boolean;
  /** Enum values: "mobile", "LOST", "DEVICE_TYPE_MOBILE". Read in any of the three. */
  enumStyle: "lower" | "upper" | "full";
  /** Status of a success whose reply message has no fields. With 200 the body is `{}`. */
  emptyStatus: 200 | 204;
  /** Puts the encoded body into the dialect's envelope. `meta` is the encoded sibling field of that name, if any. */
  wrap: (body: string, info: { status: number; message: string; meta: string | undefined }) => string;
  /** The body of a refusal, and its content type. */
  error: (problem: Problem) => { contentType: string; body: string };
}
