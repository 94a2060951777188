import type {
  DescMessage,
  DescMethod,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type {
  ConnectRouter,
  HandlerContext,
  Interceptor,
  ServiceImpl,
  UnaryRequest,
  UnaryResponse,
} from "@connectrpc/connect";
import { deadlineOf } from "./deadline.ts";

/** A unary method with its handler inside the server's interceptors, composed once. */
export interface BoundMethod {
  method: DescMethodUnary;
  call: (request: UnaryRequest) => Promise<UnaryResponse>;
}

type UnaryHandler = (request: MessageShape<DescMessage>, context: HandlerContext) => unknown;
type Next = (request: UnaryRequest) => Promise<UnaryResponse>;

/**
 * Runs `routes` against a router that only collects, and binds each unary handler. Handlers see the same Connect
 * interfaces whether a call comes over gRPC or from the same process.
 */
export function bindMethods(
  routes: (router: ConnectRouter) => void,
  interceptors: readonly Interceptor[],
): Map<DescMethod, BoundMethod> {
  const bound = new Map<DescMethod, BoundMethod>();
  const add = (method: DescMethod, handler: UnaryHandler): void => {
    if (!isUnary(method)) return;
    if (bound.has(method)) throw new Error(`${method.parent.typeName}/${method.name} has two handlers`);
    bound.set(method, { method, call: compose(terminal(method, handler), interceptors) });
  };
  const router: ConnectRouter = {
    handlers: [],
    service(service: DescService, implementation: Partial<ServiceImpl<DescService>>) {
      for (const method of service.methods) {
        const handler = (implementation as Record<string, UnaryHandler | undefined>)[method.localName];
        if (handler !== undefined) add(method, handler.bind(implementation));
      }
      return this;
    },
    rpc(method, handler) {
      add(method, handler as UnaryHandler);
      return this;
    },
  };
  routes(router);
  return bound;
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

function compose(last: Next, interceptors: readonly Interceptor[]): Next {
  return interceptors.reduceRight<Next>((next, interceptor) => interceptor(next as never) as unknown as Next, last);
}

function terminal(method: DescMethodUnary, handler: UnaryHandler): Next {
  return async (request) => {
    const header = new Headers();
    const trailer = new Headers();
    const context = handlerContext(request, { header, trailer });
    const reply = (await handler(request.message, context)) as MessageInitShape<DescMessage>;
    return { stream: false, service: request.service, method, message: create(method.output, reply), header, trailer };
  };
}

function handlerContext(request: UnaryRequest, reply: { header: Headers; trailer: Headers }): HandlerContext {
  return {
    method: request.method,
    service: request.service,
    signal: request.signal,
    timeoutMs: () => {
      const deadline = deadlineOf(request.signal);
      return deadline === undefined ? undefined : Math.max(0, deadline - Date.now());
    },
    requestMethod: request.requestMethod,
    // Over gRPC made only when it is asked for.
    get requestHeader() {
      return request.header;
    },
    responseHeader: reply.header,
    responseTrailer: reply.trailer,
    protocolName: "grpc",
    values: request.contextValues,
    url: request.url,
  };
}
