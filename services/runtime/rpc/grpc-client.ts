import { create, type DescMethodUnary, fromBinary, getOption, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Transport } from "@connectrpc/connect";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { SpanKind } from "@opentelemetry/api";
import { method as methodRules } from "#gen/waymark/options/v1/options_pb.ts";
import { requestContextKey } from "../context.ts";
import { inSpan, rpcAttributes, traceparent } from "../telemetry.ts";
import { NEVER, untilAborted } from "./deadline.ts";
import { type Envelope, seal } from "./envelope.ts";
import { headersOf } from "./metadata.ts";
import { fromStatus } from "./status.ts";

/** Metadata that carries the signed envelope between Waymark's processes. */
export const ENVELOPE_KEY = "waymark-envelope";

/** Calls without a deadline of their own end after this time. */
const DEFAULT_TIMEOUT_MS = 15_000;

/**
 * Idempotent methods of these services are tried again by the channel when the server was unavailable: four times within
 * some two seconds, which a restart takes. When most calls fail anyway it stops trying, so as not to add to the load.
 */
function serviceConfig(methods: readonly DescMethodUnary[]): string {
  const idempotent = methods.filter((method) => getOption(method, methodRules).idempotent);
  const name = idempotent.map((method) => ({ service: method.parent.typeName, method: method.name }));
  const retryPolicy = {
    maxAttempts: 5,
    initialBackoff: "0.1s",
    maxBackoff: "1s",
    backoffMultiplier: 3,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
  return JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: name.length > 0 ? [{ name, retryPolicy }] : [],
    retryThrottling: { maxTokens: 100, tokenRatio: 0.1 },
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
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    "grpc.keepalive_time_ms": 20_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.max_receive_message_length": 32 * 1024 * 1024,
  });
  return {
    close: () => channel.close(),
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const context = (contextValues ?? createContextValues()).get(requestContextKey);
      const message = create(method.input, input);
      const span = { name: "rpc.client", kind: SpanKind.CLIENT, attributes: rpcAttributes(method) } as const;
      const reply = await inSpan(span, () => {
        const metadata = metadataOf(new Headers(header), { context, key: options.key });
        const deadline = Date.now() + (timeoutMs ?? DEFAULT_TIMEOUT_MS);
        return call({ channel, method, metadata, message, signal: signal ?? NEVER, deadline });
      });
      const { output, header: received } = reply;
      return {
        stream: false,
        service: method.parent,
        method,
        message: output as never,
        header: received,
        trailer: new Headers(),
      };
    },
    async stream(method) {
      throw new ConnectError(
        `${method.parent.typeName}/${method.name}: streams are not served here`,
        Code.Unimplemented,
      );
    },
  };
}

/** Headers of the call, then what no header may stand in for: who calls, and the trace. */
function metadataOf(header: Headers, { context, key }: { context: Envelope | undefined; key: Buffer }): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of header) metadata.set(name, value);
  metadata.remove(ENVELOPE_KEY);
  if (context !== undefined) metadata.set(ENVELOPE_KEY, seal(context, { key, now: Date.now() }));
  const trace = traceparent();
  if (trace !== "") metadata.set("traceparent", trace);
  return metadata;
}

interface Called {
  output: unknown;
  header: Headers;
}

function call(options: {
  channel: Client;
  method: DescMethodUnary;
  metadata: Metadata;
  message: unknown;
  signal: AbortSignal;
  deadline: number;
}): Promise<Called> {
  const { channel, method, metadata, message, signal, deadline } = options;
  let header = new Headers();
  const run = () =>
    new Promise<Called>((resolve, reject) => {
      const active = channel.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (request: unknown) => Buffer.from(toBinary(method.input, request as never)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        message,
        metadata,
        { deadline },
        (error: ServiceError | null, output?: unknown) => {
          signal.removeEventListener("abort", cancel);
          if (error === null) resolve({ output, header });
          else reject(fromStatus(error));
        },
      );
      active.on("metadata", (received: Metadata) => {
        header = headersOf(received);
      });
      const cancel = (): void => active.cancel();
      if (signal !== NEVER) signal.addEventListener("abort", cancel, { once: true });
    });
  return untilAborted(signal, run);
}
