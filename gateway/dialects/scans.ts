import type { Dialect } from "./dialect.ts";
import { problemJson } from "./problem-json.ts";

/** The Scans API: snake_case, bare objects, problem+json. */
export const scans: Dialect = {
  name: "scans",
  bodyNames: "proto",
  queryNames: "proto",
  milliseconds: false,
  int64AsString: false,
  enumStyle: "lower",
  emptyStatus: 204,
  wrap: (body) => body,
  error: (problem) => problemJson(problem, "request_id"),
};
