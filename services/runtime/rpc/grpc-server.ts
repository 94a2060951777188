import { type DescMethod, type DescMethodUnary, fromBinary, getOption, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type UnaryRequest } from "@connectrpc/connect";
import {
  Metadata,
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
import { inTraceOf } from "../telemetry.ts";
import { withDeadline } from "./deadline.ts";
import { type Envelope, unseal } from "./envelope.ts";
import { ENVELOPE_KEY } from "./grpc-client.ts";
import { headersOf, metadataOf } from "./metadata.ts";
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
  authenticate: (presented: { key: string; ip: string }, method: DescMethodUnary) => Promise<RequestContext>;
  /** Completes a request context from an envelope. */
  complete: (envelope: Envelope) => RequestContext;
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
  let isServing = true;
  const setServing = (serving: boolean): void => {
    // Those who watch are told changes alone.
    if (serving === isServing) return;
    isServing = serving;
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
  return (call: Call, reply: sendUnaryData<unknown>): void => {
    const controller = new AbortController();
    call.on("cancelled", () => controller.abort());
    const [trace] = call.metadata.get("traceparent");
    inTraceOf(trace?.toString(), () => answer(bound, { call, options, signal: controller.signal })).then(
      (message) => reply(null, message),
      (error) => reply(toStatus(error) as never, null),
    );
  };
}

type Call = ServerUnaryCall<unknown, unknown>;

async function answer(
  bound: BoundMethod,
  on: { call: Call; options: GrpcServerOptions; signal: AbortSignal },
): Promise<unknown> {
  const { call } = on;
  const context = await callerOf(call, { method: bound.method, options: on.options });
  const run = async (signal: AbortSignal): Promise<unknown> => {
    const reply = await bound.call(requestOf(bound.method, { call, context, signal }));
    const headers = metadataOf(reply.header, new Metadata());
    if (headers !== undefined) call.sendMetadata(headers);
    return reply.message;
  };
  const timeoutMs = Number(call.getDeadline()) - Date.now();
  return Number.isFinite(timeoutMs) ? withDeadline(run, { signal: on.signal, timeoutMs }) : run(on.signal);
}

function requestOf(
  method: DescMethodUnary,
  { call, context, signal }: { call: Call; context: RequestContext; signal: AbortSignal },
): UnaryRequest {
  return {
    stream: false,
    service: method.parent,
    method,
    requestMethod: "POST",
    url: call.getPath(),
    signal,
    header: headersOf(call.metadata),
    contextValues: createContextValues().set(requestContextKey, context),
    message: call.request as never,
  };
}

async function callerOf(
  call: Call,
  { method, options }: { method: DescMethodUnary; options: GrpcServerOptions },
): Promise<RequestContext> {
  const [envelope] = call.metadata.get(ENVELOPE_KEY);
  if (envelope !== undefined) {
    const caller = unseal(String(envelope), { key: options.key, now: Date.now() });
    if (caller === undefined) throw fail("UNAUTHENTICATED");
    return options.complete(caller);
  }
  const key = keyOf(call.metadata);
  if (key === undefined) throw fail("UNAUTHENTICATED");
  // As at the gateway: to a stranger, what is internal does not exist.
  if (getOption(method, methodRules).audience === Audience.INTERNAL) throw notServed(method);
  return options.authenticate({ key, ip: addressOf(call.getPeer()) }, method);
}

function notServed({ parent, name }: DescMethodUnary): ConnectError {
  return new ConnectError(`${parent.typeName}/${name} is not served here`, Code.Unimplemented);
}

/** The key of a call, from any of the three names that REST knows. */
function keyOf(metadata: Metadata): string | undefined {
  const first = (name: string) => metadata.get(name)[0]?.toString();
  const bearer = /^Bearer +(\S+) *$/i.exec(first("authorization") ?? "")?.[1];
  return bearer ?? first("x-api-key") ?? first("x-distinct-api-key");
}

/** "10.0.0.7:54321" → "10.0.0.7", "[::1]:54321" and "::1:54321" → "::1". */
function addressOf(peer: string): string {
  return peer.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
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
