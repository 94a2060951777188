import { setTimeout as delay } from "node:timers/promises";
import { type DescMethod, type DescMethodUnary, fromBinary, getOption, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type UnaryRequest, type UnaryResponse } from "@connectrpc/connect";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { Audience, method as methodRules } from "#gen/waymark/options/v1/options_pb.ts";
import { type RequestContext, requestContextKey } from "../context.ts";
import { fail } from "../failure.ts";
import { inTraceOf } from "../telemetry.ts";
import { MOST_BYTES, pathOf } from "./channel.ts";
import { beginLife } from "./deadline.ts";
import { type Envelope, unseal } from "./envelope.ts";
import { bytesOf, ENVELOPE_KEY } from "./grpc-client.ts";
import { addHealth, type Health } from "./grpc-health.ts";
import { addHeaders, headersOf } from "./metadata.ts";
import type { BoundMethod } from "./methods.ts";
import { addReflection } from "./reflection.ts";
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
  /** Plain text without them. */
  credentials?: ServerCredentials;
  /** Names that health answers for besides the proto services: "scans". */
  names?: readonly string[];
  /** How long health says NOT_SERVING before connections are told to go. Default none. */
  noticeMs?: number;
  /** Calls at once on one connection; more wait on the client's side. Default 1,000. */
  maxConcurrentStreams?: number;
  maxConnectionAgeMs?: number;
}

/** A gRPC server of the bound methods, with health and reflection. */
export interface GrpcServer {
  port: number;
  /** Health of all names but `live`; readiness probes read it. */
  setServing: (serving: boolean) => void;
  /** Says that it does not serve, takes no more calls, lets running ones end, then closes; by force at the limit. */
  close: (limitMs: number) => Promise<void>;
}

/** A call that came without a deadline ends after this time, as at the gateway. */
const DEFAULT_TIMEOUT_MS = 15_000;

/** Starts serving. Handlers are the same Connect handlers that the in-process transport calls. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { credentials = ServerCredentials.createInsecure(), noticeMs = 0 } = options;
  // Channelz stays on: without it grpc-js 1.14 does not know its sessions, and cannot close them by force.
  const server = new Server({
    "grpc.max_connection_age_ms": options.maxConnectionAgeMs ?? 300_000,
    "grpc.max_connection_age_grace_ms": 20_000,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.max_concurrent_streams": options.maxConcurrentStreams ?? 1_000,
    "grpc.max_receive_message_length": MOST_BYTES,
    "grpc.max_send_message_length": MOST_BYTES,
  });
  addServices(server, options);
  const services = [...new Set([...options.methods.keys()].map(({ parent }) => parent))];
  const health = addHealth(server, [...services.map(({ typeName }) => typeName), ...(options.names ?? [])]);
  addReflection(server, services);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(options.address, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  let closing: Promise<void> | undefined;
  return {
    port,
    setServing: (serving) => {
      if (closing === undefined) health.setServing(serving);
    },
    close: (limitMs) => {
      closing ??= close(server, { health, noticeMs, limitMs });
      return closing;
    },
  };
}

function addServices(server: Server, options: GrpcServerOptions): void {
  const services = new Map<string, { definition: ServiceDefinition; handlers: UntypedServiceImplementation }>();
  for (const bound of options.methods.values()) {
    const { method } = bound;
    const entry = services.get(method.parent.typeName) ?? { definition: {}, handlers: {} };
    (entry.definition as Record<string, unknown>)[method.name] = definitionOf(method);
    entry.handlers[method.name] = handlerOf(bound, options);
    services.set(method.parent.typeName, entry);
  }
  for (const { definition, handlers } of services.values()) server.addService(definition, handlers);
}

function definitionOf(method: DescMethodUnary): ServiceDefinition[string] {
  return {
    path: pathOf(method),
    requestStream: false,
    responseStream: false,
    requestSerialize: (message: unknown) => bytesOf(toBinary(method.input, message as never)),
    requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
    responseSerialize: (message: unknown) => bytesOf(toBinary(method.output, message as never)),
    responseDeserialize: (bytes: Buffer) => fromBinary(method.output, bytes),
  };
}

function handlerOf(bound: BoundMethod, options: GrpcServerOptions) {
  return (call: Call, reply: sendUnaryData<unknown>): void => {
    const leftMs = Number(call.getDeadline()) - Date.now();
    const life = beginLife(Number.isFinite(leftMs) ? leftMs : DEFAULT_TIMEOUT_MS);
    // grpc-js says so of every call when its stream closes, of one that was answered too.
    call.on("cancelled", () => life.cancel());
    const [trace] = call.metadata.get("traceparent");
    inTraceOf(trace?.toString(), () => answer(bound, { call, options, signal: life.signal })).then(
      ({ header, message }) => {
        life.done();
        const metadata = new Metadata();
        addHeaders(metadata, header);
        // In one go with the message, so that they leave in one packet.
        call.sendMetadata(metadata);
        reply(null, message);
      },
      (error) => {
        life.done();
        reply(toStatus(error) as never, null);
      },
    );
  };
}

type Call = ServerUnaryCall<unknown, unknown>;

async function answer(
  bound: BoundMethod,
  on: { call: Call; options: GrpcServerOptions; signal: AbortSignal },
): Promise<UnaryResponse> {
  const { call, signal } = on;
  const context = await callerOf(call, { method: bound.method, options: on.options });
  return bound.call(requestOf(bound.method, { call, context, signal }));
}

function requestOf(
  method: DescMethodUnary,
  { call, context, signal }: { call: Call; context: RequestContext; signal: AbortSignal },
): UnaryRequest {
  let header: Headers | undefined;
  return {
    stream: false,
    service: method.parent,
    method,
    requestMethod: "POST",
    url: call.getPath(),
    signal,
    get header() {
      header ??= headersOf(call.metadata);
      return header;
    },
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

async function close(server: Server, how: { health: Health; noticeMs: number; limitMs: number }): Promise<void> {
  const { health, noticeMs, limitMs } = how;
  health.setServing(false);
  // Whoever asks health sends no more calls then, while those under way to us are still taken.
  if (noticeMs > 0) await delay(noticeMs);
  health.endWatches();
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => server.forceShutdown(), limitMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
