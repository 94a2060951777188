import { STATUS_CODES } from "node:http";
import type { Problem } from "./dialect.ts";

/** A refusal as RFC 9457 `application/problem+json`, with our members `code`, the request's id and the faults of fields. */
export function problemJson(
  problem: Problem,
  requestIdName: "request_id" | "requestId",
): { contentType: string; body: string } {
  const body = {
    type: "about:blank",
    title: STATUS_CODES[problem.status] ?? "Error",
    status: problem.status,
    detail: problem.message,
    code: problem.reason,
    [requestIdName]: problem.requestId,
    ...(problem.fields.length > 0 && { errors: problem.fields }),
  };
  return { contentType: "application/problem+json", body: JSON.stringify(body) };
}
