import type { DescMethod, Message } from "@bufbuild/protobuf";
import { type CallOptions, createContextValues } from "@connectrpc/connect";
import { type RequestContext, requestContextKey } from "#runtime/context.ts";
import type { Exchange } from "./exchange.ts";
import { type Positions, positionIn } from "./positions.ts";

/** The longest that a unary call may take. */
export const DEADLINE_MS = 15_000;

/** Request headers that a service may read from its call: they are about the answer, not about the caller. */
const PASSED_IN = ["range", "if-range", "last-event-id", "accept-language"] as const;

/** Response headers that a service may set. */
const PASSED_OUT = [
  "etag",
  "cache-control",
  "content-range",
  "accept-ranges",
  "content-disposition",
  "last-modified",
  "location",
] as const;

/** What is called with what. */
export interface Call {
  rpc: DescMethod;
  message: Message;
}

/** Calls a method of a client by its description. The reply is a promise, or an iterable for a stream. */
export function invoke<T = Promise<Message>>(client: unknown, { rpc, message }: Call, options: CallOptions): T {
  const methods = client as Record<string, (message: Message, options: CallOptions) => T>;
  return (methods[rpc.localName] as (typeof methods)[string])(message, options);
}

/** Options of a call in the name of the caller, ended when the caller goes away. It sees what its workspace has written. */
export function callOptions(
  exchange: Exchange,
  { context, positions }: { context: RequestContext; positions: Positions },
): CallOptions {
  const { request, headers } = exchange;
  const { workspace } = context.principal;
  const passed = positions.headersFor(context.principal);
  for (const name of PASSED_IN) {
    const value = request.raw.headers[name];
    if (typeof value === "string") passed.push([name, value]);
  }
  return {
    contextValues: createContextValues().set(requestContextKey, context),
    signal: gone(exchange),
    headers: passed,
    onHeader: (from) => {
      positions.note(workspace, positionIn(from));
      for (const name of PASSED_OUT) {
        const value = from.get(name);
        if (value !== null) headers[name] = value;
      }
    },
  };
}

/** Aborts when the client goes away before it is answered. */
function gone({ reply }: Exchange): AbortSignal {
  const controller = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
