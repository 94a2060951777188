import { create, type DescMethodUnary, getOption, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type Transport } from "@connectrpc/connect";
import { type ChannelCredentials, credentials as grpcCredentials, Metadata } from "@grpc/grpc-js";
import { SpanKind } from "@opentelemetry/api";
import { method as methodRules } from "#gen/waymark/options/v1/options_pb.ts";
import { requestContextKey } from "../context.ts";
import { inSpan, rpcAttributes, traceparent } from "../telemetry.ts";
import { type Attempt, type Channel, openChannel, type Reply } from "./channel.ts";
import { deadlineOf, NEVER } from "./deadline.ts";
import { type Envelope, seal } from "./envelope.ts";
import { addHeaders } from "./metadata.ts";
import { openPatience, type Patience } from "./patience.ts";
import { isAway, noServer } from "./status.ts";

/** Metadata that carries the signed envelope between Waymark's processes. */
export const ENVELOPE_KEY = "waymark-envelope";

/** Calls without a deadline of their own end after this time. */
const DEFAULT_TIMEOUT_MS = 15_000;

/** A transport that holds connections. */
export interface ClosableTransport extends Transport {
  close: () => void;
}

/** A Connect transport over grpc-js to one target ("dns:///scans:9090"): round_robin, retries, deadlines, signed caller. */
export function createGrpcTransport(options: {
  target: string;
  key: Buffer;
  /** Plain text without them. */
  credentials?: ChannelCredentials;
}): ClosableTransport {
  const { target, key, credentials = grpcCredentials.createInsecure() } = options;
  const channel = openChannel({ target, credentials });
  return { ...transportOver({ key, channels: () => [channel] }), close: channel.close };
}

/** Where a call may go, the best first. */
export type Channels = (context: Envelope | undefined) => readonly Channel[] | Promise<readonly Channel[]>;

/**
 * A Connect transport over channels. A call goes to the first of them; one that may be repeated goes on to the next when
 * there is no server, and waits a while when there is none at all. Any other call is made once.
 */
export function transportOver(given: { key: Buffer; channels: Channels }): Transport {
  const { key, channels } = given;
  const patiently = openPatience();
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const context = contextOf(contextValues);
      const span = { name: "rpc.client", kind: SpanKind.CLIENT, attributes: rpcAttributes(method) } as const;
      const reply = await inSpan(span, () => {
        const attempt: Attempt = {
          method,
          bytes: bytesOf(toBinary(method.input, create(method.input, input))),
          metadata: metadataOf(header, { context, key }),
          deadline: Math.min(
            Date.now() + (timeoutMs ?? DEFAULT_TIMEOUT_MS),
            (signal && deadlineOf(signal)) ?? Infinity,
          ),
          signal: signal ?? NEVER,
        };
        return send(attempt, { channels: () => channels(context), patiently });
      });
      const { message, header: received } = reply;
      const trailer = new Headers();
      return { stream: false, service: method.parent, method, message: message as never, header: received, trailer };
    },
    async stream(method) {
      const rpc = `${method.parent.typeName}/${method.name}`;
      throw new ConnectError(`${rpc}: streams are not served here`, Code.Unimplemented);
    },
  };
}

function contextOf(values: ContextValues | undefined): Envelope | undefined {
  return values?.get(requestContextKey);
}

/** The same memory as a Buffer. */
export function bytesOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}

async function send(
  attempt: Attempt,
  { channels, patiently }: { channels: () => ReturnType<Channels>; patiently: Patience },
): Promise<Reply> {
  const { deadline, signal } = attempt;
  if (isIdempotent(attempt.method)) {
    return patiently(async () => firstThatAnswers(await channels(), attempt), { deadline, signal });
  }
  const [first] = await channels();
  if (first === undefined) throw noServer();
  return first.call(attempt);
}

async function firstThatAnswers(channels: readonly Channel[], attempt: Attempt): Promise<Reply> {
  let refusal: unknown;
  for (const channel of channels) {
    try {
      return await channel.call(attempt);
    } catch (error) {
      if (!isAway(error)) throw error;
      refusal = error;
    }
  }
  throw refusal ?? noServer();
}

const idempotent = new WeakMap<DescMethodUnary, boolean>();

function isIdempotent(method: DescMethodUnary): boolean {
  let known = idempotent.get(method);
  if (known === undefined) {
    known = getOption(method, methodRules).idempotent;
    idempotent.set(method, known);
  }
  return known;
}

/** Headers of the call, then what no header may stand in for: who calls, and the trace. */
function metadataOf(
  header: ConstructorParameters<typeof Headers>[0],
  { context, key }: { context: Envelope | undefined; key: Buffer },
): Metadata {
  const metadata = new Metadata();
  if (header !== undefined) addHeaders(metadata, new Headers(header));
  if (context !== undefined) metadata.set(ENVELOPE_KEY, seal(context, { key, now: Date.now() }));
  const trace = traceparent();
  if (trace !== "") metadata.set("traceparent", trace);
  return metadata;
}
