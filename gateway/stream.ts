import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import type { HttpBody } from "#gen/google/api/httpbody_pb.ts";
import { type Exchange, observe, SENT, type Sent } from "./exchange.ts";
import type { Route } from "./routes.ts";

/**
 * Sends the messages of a stream as they come. Messages that are google.api.HttpBody are sent as they are, under the
 * content type of the first; all others are events of `text/event-stream` whose data is the JSON of the message.
 * Throws what the stream throws, but only before the headers are sent; after that it cuts the connection.
 */
export async function sendStream(
  exchange: Exchange,
  stream: { route: Pick<Route, "write">; messages: AsyncIterable<Message>; stopping: AbortSignal },
): Promise<Sent> {
  const { reply } = exchange;
  const { route, messages, stopping } = stream;
  const iterator = messages[Symbol.asyncIterator]();
  const first = await iterator.next();
  const isRaw = first.value?.$typeName === "google.api.HttpBody";
  const contentType = isRaw ? (first.value as HttpBody).contentType : "text/event-stream";
  const { raw } = reply.hijack();
  observe(exchange, 200);
  raw.writeHead(200, {
    ...exchange.headers,
    "content-type": contentType,
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  });
  raw.flushHeaders();
  try {
    for (let step = first; !step.done && !raw.destroyed; step = await iterator.next()) {
      await write(raw, isRaw ? (step.value as HttpBody).data : `data: ${route.write(step.value).body}\n\n`);
    }
    raw.end();
  } catch {
    if (stopping.aborted) raw.end();
    else raw.destroy();
  } finally {
    await iterator.return?.();
  }
  return SENT;
}

/** Writes, and waits for a slow reader, or for its going away. */
export async function write(raw: ServerResponse, chunk: string | Uint8Array): Promise<void> {
  if (raw.write(chunk) || raw.destroyed) return;
  const controller = new AbortController();
  const { signal } = controller;
  await Promise.race([once(raw, "drain", { signal }), once(raw, "close", { signal })]).finally(() =>
    controller.abort(),
  );
}
