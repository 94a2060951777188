import type { Dialect } from "./dialect.ts";

/** The Touchpoints API: camelCase in `{"statusCode","message","data"}`. */
export const touchpoints: Dialect = {
  name: "touchpoints",
  bodyNames: "json",
  queryNames: "json",
  milliseconds: false,
  int64AsString: false,
  enumStyle: "upper",
  emptyStatus: 204,
  wrap: (body, { status, message }) =>
    `{"statusCode":${status},"message":${JSON.stringify(message || "Success")},"data":${body}}`,
  error: ({ status, message }) => ({
    contentType: "application/json",
    body: JSON.stringify({ statusCode: status, message }),
  }),
};
