import { codeWord } from "#runtime/failure.ts";
import type { Dialect } from "./dialect.ts";

/** The Analytics API: camelCase, full enum names, 64-bit integers as strings, errors in `{"error"}`. */
export const analytics: Dialect = {
  name: "analytics",
  bodyNames: "json",
  queryNames: "json",
  milliseconds: true,
  int64AsString: true,
  // The vendor's generated Python client takes integers alone, from 1.180 on; all its others take both, or texts alone.
  wantsNumbers: (userAgent) => /^OpenAPI-Generator\/[\d.]+\/python$/.test(userAgent),
  enumStyle: "full",
  emptyStatus: 200,
  wrap: (body) => body,
  error: ({ status, code, reason, message, fields }) => {
    const codeType = code === undefined ? reason : codeWord(code);
    return {
      contentType: "application/json",
      body: JSON.stringify({ error: { code: status, codeType, message, details: fields } }),
    };
  },
};
