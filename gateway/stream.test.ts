import type { AddressInfo } from "node:net";
import { create, type Message } from "@bufbuild/protobuf";
import Fastify, { type FastifyInstance } from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { HttpBodySchema } from "#gen/google/api/httpbody_pb.ts";
import { ScanSchema } from "#gen/waymark/scans/v1/scans_pb.ts";
import { exchangeOpener } from "./exchange.ts";
import { sendStream } from "./stream.ts";

let app: FastifyInstance;
const stopping = new AbortController();
afterEach(() => app.close());

/** A server whose only answer is a stream of these messages. */
async function open(messages: (ended: () => void) => AsyncIterable<Message>) {
  let ended = false;
  const opener = exchangeOpener({ ipOf: () => "", isSecure: false, stopping: stopping.signal });
  const write = (message: Message) => ({
    status: 200,
    body: JSON.stringify({ id: (message as unknown as { id: string }).id }),
  });
  app = Fastify({ forceCloseConnections: true });
  app.get("/", (request, reply) => {
    const stream = { route: { write }, messages: messages(() => (ended = true)), stopping: stopping.signal };
    sendStream(opener(request, reply), stream).catch((error) => reply.status(503).send(String(error.message)));
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`;
  return { url, hasEnded: () => ended };
}

const event = (id: string) => create(ScanSchema, { id });
const raw = (text: string) => create(HttpBodySchema, { contentType: "text/csv", data: Buffer.from(text) });

describe("a stream", () => {
  it("is events of the dialect's JSON, in order", async () => {
    const { url } = await open(async function* () {
      yield event("a");
      yield event("b");
    });
    const response = await fetch(url);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.text()).toBe('data: {"id":"a"}\n\ndata: {"id":"b"}\n\n');
  });

  it("of HttpBody is sent as it is", async () => {
    const { url } = await open(async function* () {
      yield raw("a,b\n");
      yield raw("1,2\n");
    });
    const response = await fetch(url);
    expect([response.headers.get("content-type"), await response.text()]).toEqual(["text/csv", "a,b\n1,2\n"]);
  });

  it("comes as it happens, and ends when the client goes away", async () => {
    const { promise: never } = Promise.withResolvers<void>();
    const { url, hasEnded } = await open(async function* (ended) {
      try {
        yield event("a");
        for (;;) {
          yield event("x".repeat(100_000));
          await Promise.race([never, new Promise((next) => setImmediate(next))]);
        }
      } finally {
        ended();
      }
    });
    const response = await fetch(url);
    const reader = response.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toContain('{"id":"a"}');
    await reader?.cancel();
    await expect.poll(hasEnded).toBe(true);
  });

  it("that fails before its first message is refused", async () => {
    // biome-ignore lint/correctness/useYield: a stream that has nothing to give
    const { url } = await open(async function* () {
      throw new Error("not now");
    });
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([503, "not now"]);
  });

  it("that fails later is cut, so that nobody takes it for whole", async () => {
    const { url } = await open(async function* () {
      yield raw("half");
      throw new Error("broken");
    });
    const response = await fetch(url);
    await expect(response.text()).rejects.toThrow();
  });
});
