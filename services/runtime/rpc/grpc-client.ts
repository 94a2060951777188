import { create, type DescMethodUnary, fromBinary, getOption, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Transport } from "@connectrpc/connect";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { method as methodRules } from "#gen/waymark/options/v1/options_pb.ts";
import { requestContextKey } from "../context.ts";
import { type Envelope, seal } from "./envelope.ts";
import { fromStatus } from "./status.ts";

/** Metadata that carries the signed envelope between Waymark's processes. */
export const ENVELOPE_KEY = "waymark-envelope";

/** Calls without a deadline of their own end after this time. */
const DEFAULT_TIMEOUT_MS = 15_000;

/** Idempotent methods of these services are tried again by the channel: thrice, when the server was unavailable. */
function serviceConfig(methods: readonly DescMethodUnary[]): string {
  const idempotent = methods.filter((method) => getOption(method, methodRules).idempotent);
  const name = idempotent.map((method) => ({ service: method.parent.typeName, method: method.name }));
  const retryPolicy = {
    maxAttempts: 4,
    initialBackoff: "0.05s",
    maxBackoff: "1s",
    backoffMultiplier: 3,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
  return JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: name.length > 0 ? [{ name, retryPolicy }] : [],
  });
}

/** A Connect transport over grpc-js to one target ("dns:///scans:9090"): round_robin, retries, deadlines, signed caller. */
export function createGrpcTransport(options: {
  target: string;
  methods: readonly DescMethodUnary[];
  key: Buffer;
}): Transport & { close: () => void } {
  const channel = new Client(options.target, credentials.createInsecure(), {
    "grpc.service_config": serviceConfig(options.methods),
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.max_receive_message_length": 32 * 1024 * 1024,
  });
  return {
    close: () => channel.close(),
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const values = contextValues ?? createContextValues();
      const metadata = metadataOf(values.get(requestContextKey), options.key);
      for (const [name, value] of new Headers(header)) metadata.set(name, value);
      const message = create(method.input, input);
      const output = await call({
        channel,
        method,
        metadata,
        message,
        signal,
        timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS,
      });
      const empty = { header: new Headers(), trailer: new Headers() };
      return { stream: false, service: method.parent, method, message: output as never, ...empty };
    },
    stream(method) {
      throw new ConnectError(
        `${method.parent.typeName}/${method.name}: streams are not served here`,
        Code.Unimplemented,
      );
    },
  };
}

function metadataOf(envelope: Envelope | undefined, key: Buffer): Metadata {
  const metadata = new Metadata();
  if (envelope !== undefined) metadata.set(ENVELOPE_KEY, seal(envelope, { key, now: Date.now() }));
  return metadata;
}

function call(options: {
  channel: Client;
  method: DescMethodUnary;
  metadata: Metadata;
  message: unknown;
  signal: AbortSignal | undefined;
  timeoutMs: number;
}): Promise<unknown> {
  const { channel, method, metadata, message, signal, timeoutMs } = options;
  return new Promise((resolve, reject) => {
    const done = (error: ServiceError | null, value?: unknown): void => {
      signal?.removeEventListener("abort", cancel);
      if (error === null) resolve(value);
      else reject(fromStatus(error));
    };
    const active = channel.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      (request: unknown) => Buffer.from(toBinary(method.input, request as never)),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      message,
      metadata,
      { deadline: Date.now() + timeoutMs },
      done,
    );
    const cancel = (): void => active.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
  });
}
