import { create, type DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Transport, type UnaryRequest } from "@connectrpc/connect";
import { NEVER, withDeadline } from "./deadline.ts";
import type { BoundMethod } from "./methods.ts";

/**
 * A Connect transport to handlers of the same process: the message is handed over as it is, without encoding, and the
 * caller's context values go with it. Why not createRouterTransport: docs/decisions/0002.
 */
export function createInProcessTransport(methods: ReadonlyMap<DescMethod, BoundMethod>): Transport {
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const bound = methods.get(method);
      if (bound === undefined) {
        throw new ConnectError(`${method.parent.typeName}/${method.name} is not served here`, Code.Unimplemented);
      }
      const run = (active: AbortSignal) => {
        const request: UnaryRequest = {
          stream: false,
          service: method.parent,
          method,
          requestMethod: "POST",
          url: `/${method.parent.typeName}/${method.name}`,
          signal: active,
          header: new Headers(header),
          contextValues: contextValues ?? createContextValues(),
          message: create(method.input, input),
        };
        return bound.call(request);
      };
      const reply = timeoutMs === undefined ? run(signal ?? NEVER) : withDeadline(run, { signal, timeoutMs });
      return (await reply) as never;
    },
    async stream(method) {
      throw new ConnectError(
        `${method.parent.typeName}/${method.name}: streams are not served here`,
        Code.Unimplemented,
      );
    },
  };
}
