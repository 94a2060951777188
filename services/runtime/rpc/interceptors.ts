import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { SpanKind } from "@opentelemetry/api";
import { contextOf, requestContextKey } from "../context.ts";
import { fail } from "../failure.ts";
import type { Logger } from "../logger.ts";
import { inSpan, rpcAttributes, rpcDuration } from "../telemetry.ts";
import { untilAborted } from "./deadline.ts";
import { validate } from "./validate.ts";

/** Names of the server's interceptors, outermost first. A test holds the order; style.md §3 says why. */
export const ORDER = ["trace", "log", "errors", "deadline", "principal", "validate"] as const;

type Named = Readonly<Record<(typeof ORDER)[number], Interceptor>>;

/** The interceptors around every handler. Trace and log see refused calls too; validation tells nothing to a stranger. */
export function serverInterceptors(log: Logger): readonly Interceptor[] {
  const named: Named = { trace, log: logging(log), errors: errors(log), deadline, principal, validate: validation };
  return ORDER.map((name) => named[name]);
}

const trace: Interceptor = (next) => (request) => {
  const attributes = rpcAttributes(request.method);
  return inSpan({ name: "rpc.server", kind: SpanKind.SERVER, attributes }, () => next(request));
};

function logging(log: Logger): Interceptor {
  return (next) => async (request) => {
    const rpc = `${request.service.typeName}/${request.method.name}`;
    const begun = performance.now();
    let code = "ok";
    try {
      return await next(request);
    } catch (error) {
      code = Code[ConnectError.from(error).code] ?? "Unknown";
      throw error;
    } finally {
      const seconds = (performance.now() - begun) / 1000;
      rpcDuration.labels(rpc, code).observe(seconds);
      if (log.isLevelEnabled("debug")) log.debug({ rpc, code, seconds }, "rpc");
    }
  };
}

/** Refusals pass; anything else becomes INTERNAL with the request's id, and its cause goes to the log. */
function errors(log: Logger): Interceptor {
  return (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      if (error instanceof ConnectError) throw error;
      if (error instanceof Error && error.name === "TimeoutError") throw fail("DEADLINE", {}, error);
      const requestId = request.contextValues.get(requestContextKey)?.requestId ?? "-";
      log.error(
        { rpc: `${request.service.typeName}/${request.method.name}`, requestId, stack: stackOf(error) },
        "failed",
      );
      throw fail("INTERNAL", { requestId }, error);
    }
  };
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : "not an Error";
}

/** Ends the call when its signal aborts, so that trace and log see the end of a handler that does not listen. */
const deadline: Interceptor = (next) => (request) => untilAborted(request.signal, () => next(request));

const principal: Interceptor = (next) => (request) => {
  contextOf({ values: request.contextValues });
  return next(request);
};

const validation: Interceptor = (next) => (request) => {
  if (!request.stream) validate(request.method.input, request.message);
  return next(request);
};
