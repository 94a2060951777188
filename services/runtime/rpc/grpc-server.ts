import { type DescMethod, type DescMethodUnary, fromBinary, getOption, toBinary } from "@bufbuild/protobuf";
import { createContextValues, type UnaryRequest } from "@connectrpc/connect";
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { Audience, method as methodRules } from "#gen/waymark/options/v1/options_pb.ts";
import { type RequestContext, requestContextKey } from "../context.ts";
import { fail } from "../failure.ts";
import { withDeadline } from "./deadline.ts";
import { unseal } from "./envelope.ts";
import { ENVELOPE_KEY } from "./grpc-client.ts";
import type { BoundMethod } from "./methods.ts";
import { toStatus } from "./status.ts";

/** What the server needs of its host. */
export interface GrpcServerOptions {
  /** "0.0.0.0:9090". Port 0 takes a free one. */
  address: string;
  methods: ReadonlyMap<DescMethod, BoundMethod>;
  /** Key of the signed envelopes between Waymark's processes. */
  key: Buffer;
  /** Resolves a caller that sent a key instead of an envelope, and checks it against the method's scopes. */
  authenticate: (key: string, method: DescMethodUnary) => Promise<RequestContext>;
  /** Completes a request context from an envelope. */
  complete: (envelope: Pick<RequestContext, "principal" | "requestId" | "ip" | "userAgent">) => RequestContext;
  maxConnectionAgeMs?: number;
}

/** A gRPC server of the bound methods, with health. */
export interface GrpcServer {
  port: number;
  /** Health of all services; readiness probes read it. */
  setServing: (serving: boolean) => void;
  /** Stops taking calls, lets running ones end, then closes; by force at the limit. */
  close: (limitMs: number) => Promise<void>;
}

/** Starts serving. Handlers are the same Connect handlers that the in-process transport calls. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const server = new Server({
    "grpc.max_connection_age_ms": options.maxConnectionAgeMs ?? 300_000,
    "grpc.max_connection_age_grace_ms": 20_000,
    "grpc.max_receive_message_length": 32 * 1024 * 1024,
  });
  const names = addServices(server, options);
  const health = new HealthImplementation(Object.fromEntries(["", ...names].map((name) => [name, "SERVING"])));
  health.addToServer(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(options.address, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const setServing = (serving: boolean): void => {
    for (const name of ["", ...names]) health.setStatus(name, serving ? "SERVING" : "NOT_SERVING");
  };
  return { port, setServing, close: (limitMs) => close(server, { setServing, limitMs }) };
}

function addServices(server: Server, options: GrpcServerOptions): string[] {
  const services = new Map<string, { definition: ServiceDefinition; handlers: UntypedServiceImplementation }>();
  for (const bound of options.methods.values()) {
    const { method } = bound;
    const entry = services.get(method.parent.typeName) ?? { definition: {}, handlers: {} };
    (entry.definition as Record<string, unknown>)[method.name] = definitionOf(method);
    entry.handlers[method.name] = handlerOf(bound, options);
    services.set(method.parent.typeName, entry);
  }
  for (const { definition, handlers } of services.values()) server.addService(definition, handlers);
  return [...services.keys()];
}

function definitionOf(method: DescMethodUnary): ServiceDefinition[string] {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message: unknown) => Buffer.from(toBinary(method.input, message as never)),
    requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
    responseSerialize: (message: unknown) => Buffer.from(toBinary(method.output, message as never)),
    responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
  };
}

function handlerOf(bound: BoundMethod, options: GrpcServerOptions) {
  return (call: ServerUnaryCall<unknown, unknown>, reply: sendUnaryData<unknown>): void => {
    const controller = new AbortController();
    call.on("cancelled", () => controller.abort());
    answer(bound, { call, options, signal: controller.signal }).then(
      (message) => reply(null, message),
      (error) => reply(toStatus(error) as never, null),
    );
  };
}

async function answer(
  bound: BoundMethod,
  on: { call: ServerUnaryCall<unknown, unknown>; options: GrpcServerOptions; signal: AbortSignal },
): Promise<unknown> {
  const context = await callerOf(on.call.metadata, { method: bound.method, options: on.options });
  const contextValues = createContextValues().set(requestContextKey, context);
  const deadline = on.call.getDeadline();
  const timeoutMs = Math.max(1, Number(deadline) - Date.now());
  const run = async (signal: AbortSignal): Promise<unknown> => {
    const request: UnaryRequest = {
      stream: false,
      service: bound.method.parent,
      method: bound.method,
      requestMethod: "POST",
      url: on.call.getPath(),
      signal,
      header: new Headers(),
      contextValues,
      message: on.call.request as never,
    };
    return (await bound.call(request)).message;
  };
  if (!Number.isFinite(timeoutMs)) return run(on.signal);
  return withDeadline(run, { signal: on.signal, timeoutMs: Math.min(timeoutMs, 2 ** 31 - 1) });
}

async function callerOf(
  metadata: Metadata,
  on: { method: DescMethodUnary; options: GrpcServerOptions },
): Promise<RequestContext> {
  const { key, authenticate, complete } = on.options;
  const [envelope] = metadata.get(ENVELOPE_KEY);
  if (envelope !== undefined) {
    const caller = unseal(String(envelope), { key, now: Date.now() });
    if (caller === undefined) throw fail("UNAUTHENTICATED");
    return complete(caller);
  }
  if (getOption(on.method, methodRules).audience === Audience.INTERNAL) throw fail("UNAUTHENTICATED");
  return authenticate(keyOf(metadata), on.method);
}

function keyOf(metadata: Metadata): string {
  const bearer = /^Bearer (.+)$/i.exec(String(metadata.get("authorization")[0] ?? ""))?.[1];
  const key = bearer ?? metadata.get("x-api-key")[0];
  if (key === undefined) throw fail("UNAUTHENTICATED");
  return String(key);
}

async function close(server: Server, how: { setServing: (serving: boolean) => void; limitMs: number }): Promise<void> {
  how.setServing(false);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => server.forceShutdown(), how.limitMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
