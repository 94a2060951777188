import { STATUS_CODES } from "node:http";
import type { Dialect } from "./dialect.ts";

/** The Impressions API: snake_case bodies, camelCase query, bare objects, errors as `{"error","message"}`. */
export const impressions: Dialect = {
  name: "impressions",
  bodyNames: "proto",
  queryNames: "json",
  milliseconds: false,
  int64AsString: false,
  enumStyle: "lower",
  emptyStatus: 204,
  wrap: (body) => body,
  error: ({ status, message }) => ({
    contentType: "application/json",
    body: JSON.stringify({ error: STATUS_CODES[status] ?? "Error", message }),
  }),
};
