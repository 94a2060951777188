import type { Logger } from "#runtime/logger.ts";
import type { Dialect } from "./dialects/dialect.ts";
import { type Exchange, type Sent, send } from "./exchange.ts";
import { problemHeaders, problemOf } from "./problems.ts";

/** Sends what was thrown as a refusal in a dialect. */
export function refuse(
  exchange: Exchange,
  refusal: { error: unknown; dialect: Dialect; nameOf?: (protoPath: string) => string; log: Pick<Logger, "error"> },
): Sent {
  const { error, dialect, nameOf, log } = refusal;
  const problem = problemOf(error, { requestId: exchange.requestId, route: exchange.route, log, nameOf });
  const { contentType, body } = dialect.error(problem);
  const headers = { ...problemHeaders(problem, error), "content-type": contentType, "cache-control": "no-store" };
  return send(exchange, { status: problem.status, headers, body });
}
