import { Code, type HandlerContext } from "@connectrpc/connect";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import {
  caller,
  caught,
  closeAll,
  closing,
  connect,
  context,
  KEY,
  serve,
  until,
} from "../../../test/support/grpc-ground.ts";
import { forward } from "../context.ts";
import { reasonOf } from "../failure.ts";
import { clientsOver } from "./clients.ts";
import { seal } from "./envelope.ts";
import { ENVELOPE_KEY } from "./grpc-client.ts";
import { createInProcessTransport } from "./in-process.ts";
import { bindMethods } from "./methods.ts";

afterEach(closeAll);

/** A server that calls another one, which notes how long it has and ends only when it is told to. */
async function chain(options: (handler: HandlerContext) => object) {
  const seen: { leftMs: number | undefined; signal: AbortSignal }[] = [];
  const far = await serve({
    getSettings: (_request: unknown, { timeoutMs, signal }: HandlerContext) => {
      seen.push({ leftMs: timeoutMs(), signal });
      return new Promise(() => {});
    },
    appendAudit: () => ({}),
  });
  const farClient = connect(far.port);
  const near = await serve({
    getSettings: (_request: unknown, handler: HandlerContext) => farClient.getSettings({}, options(handler)),
    appendAudit: (_request: unknown, handler: HandlerContext) => farClient.appendAudit({}, forward(handler)),
  });
  const client = connect(near.port);
  // Connected on both legs: connecting is no part of the time that is measured out here.
  await client.appendAudit({}, caller);
  return { client, seen };
}

describe("a call that is handed on", () => {
  it("has what is left of the first one's time, and ends with it", async () => {
    const { client, seen } = await chain(forward);
    const error = await caught(client.getSettings({}, { ...caller, timeoutMs: 700 }));
    expect([reasonOf(error)?.reason, error.code]).toEqual(["DEADLINE", Code.DeadlineExceeded]);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.leftMs).toBeLessThanOrEqual(700);
    await until(() => seen[0]?.signal.aborted === true);
  });

  it("never has more, though it asks for more", async () => {
    const { client, seen } = await chain((handler) => ({ ...forward(handler), timeoutMs: 60_000 }));
    await caught(client.getSettings({}, { ...caller, timeoutMs: 700 }));
    expect(seen[0]?.leftMs).toBeLessThanOrEqual(700);
  });

  it("may have less", async () => {
    const { client, seen } = await chain((handler) => ({ ...forward(handler), timeoutMs: 100 }));
    const error = await caught(client.getSettings({}, { ...caller, timeoutMs: 10_000 }));
    expect(error.code).toBe(Code.DeadlineExceeded);
    expect(seen[0]?.leftMs).toBeLessThanOrEqual(100);
  });

  it("is cancelled when the first caller goes away", async () => {
    const { client, seen } = await chain(forward);
    const gone = new AbortController();
    const first = caught(client.getSettings({}, { ...caller, signal: gone.signal }));
    await until(() => seen.length === 1);
    gone.abort();
    expect((await first).code).toBe(Code.Canceled);
    await until(() => seen[0]?.signal.aborted === true);
  });
});

describe("the time that a handler has", () => {
  const within = async (options: object) => {
    let leftMs: number | undefined = -1;
    const getSettings = (_request: unknown, { timeoutMs }: HandlerContext) => {
      leftMs = timeoutMs();
      return {};
    };
    const methods = bindMethods((router) => router.service(AuthorityService, { getSettings }), []);
    await clientsOver(() => createInProcessTransport(methods))(AuthorityService).getSettings({}, options);
    return leftMs;
  };

  it("is that of its call within the process too, and none without a deadline", async () => {
    expect(await within({ timeoutMs: 500 })).toBeLessThanOrEqual(500);
    expect(await within({})).toBeUndefined();
  });

  it("is 15 seconds over gRPC for a call that came without any", async () => {
    let leftMs: number | undefined;
    const { port } = await serve({
      getSettings: (_request: unknown, { timeoutMs }: HandlerContext) => {
        leftMs = timeoutMs();
        return {};
      },
    });
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    closing.push(() => client.close());
    const metadata = new Metadata();
    metadata.set(ENVELOPE_KEY, seal(context, { key: KEY, now: Date.now() }));
    const asIs = (bytes: Buffer): Buffer => bytes;
    await new Promise((resolve, reject) => {
      const done = (error: Error | null): void => (error === null ? resolve(undefined) : reject(error));
      const path = "/waymark.access.v1.AuthorityService/GetSettings";
      client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), metadata, done);
    });
    expect(leftMs).toBeGreaterThan(10_000);
    expect(leftMs).toBeLessThanOrEqual(15_000);
  });
});
