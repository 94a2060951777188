import type { Dialect, FieldFault } from "./dialect.ts";

const CODES: Readonly<Record<number, string>> = {
  400: "VALIDATION_ERROR",
  401: "UNAUTHORIZED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  405: "METHOD_NOT_ALLOWED",
  409: "CONFLICT",
  413: "PAYLOAD_TOO_LARGE",
  415: "UNSUPPORTED_MEDIA_TYPE",
  429: "RATE_LIMITED",
  499: "CLIENT_CLOSED_REQUEST",
  501: "NOT_IMPLEMENTED",
  503: "UNAVAILABLE",
  504: "TIMEOUT",
};

/** The Tags API: camelCase in `{"success","data"[,"meta"]}`, errors in `{"success":false,"error"}`. */
export const tags: Dialect = {
  name: "tags",
  bodyNames: "json",
  queryNames: "json",
  milliseconds: true,
  int64AsString: false,
  enumStyle: "upper",
  emptyStatus: 204,
  wrap: (body, { meta }) =>
    meta === undefined ? `{"success":true,"data":${body}}` : `{"success":true,"data":${body},"meta":${meta}}`,
  error: ({ status, message, fields }) => {
    const code = CODES[status] ?? "INTERNAL_ERROR";
    const error =
      fields.length === 0 ? { code, message } : { code, message: "Invalid input data", details: byField(fields) };
    return { contentType: "application/json", body: JSON.stringify({ success: false, error }) };
  },
};

function byField(fields: readonly FieldFault[]): Record<string, string[]> {
  const details = new Map<string, string[]>();
  for (const { field, message } of fields) details.set(field, [...(details.get(field) ?? []), message]);
  return Object.fromEntries(details);
}
