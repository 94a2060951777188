import type { Dialect } from "./dialect.ts";
import { problemJson } from "./problem-json.ts";

/** The Platform API: camelCase, bare objects, problem+json. */
export const platform: Dialect = {
  name: "platform",
  bodyNames: "json",
  queryNames: "json",
  milliseconds: true,
  int64AsString: false,
  enumStyle: "lower",
  emptyStatus: 204,
  wrap: (body) => body,
  error: (problem) => problemJson(problem, "requestId"),
};
