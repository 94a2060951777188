import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, type HandlerContext } from "@connectrpc/connect";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { GetSettingsRequestSchema, GetSettingsResponseSchema } from "#gen/waymark/access/v1/authority_pb.ts";
import {
  caller,
  caught,
  closeAll,
  closing,
  connect,
  context,
  KEY,
  serve,
  told,
  until,
} from "../../../test/support/grpc-ground.ts";
import { contextOf, type RequestContext } from "../context.ts";
import { fail, reasonOf } from "../failure.ts";
import { as } from "../internal.ts";
import { seal } from "./envelope.ts";
import { ENVELOPE_KEY } from "./grpc-client.ts";

afterEach(closeAll);

describe("a call over gRPC", () => {
  it("brings who calls, for which request, by the signed envelope", async () => {
    let seen: RequestContext | undefined;
    const { port } = await serve({
      getSettings: (_request: unknown, handler: HandlerContext) => {
        seen = contextOf(handler);
        return { timezone: "Asia/Tokyo" };
      },
    });
    expect((await connect(port).getSettings({}, caller)).timezone).toBe("Asia/Tokyo");
    const { principal, requestId, ip, userAgent } = context;
    expect(seen).toMatchObject({ principal, requestId, ip, userAgent, method: "HEAD" });
    expect(seen?.newId("x")).toMatch(/^x_/);
  });

  it("keeps the details of a refusal", async () => {
    const { port } = await serve({
      getSettings: () => Promise.reject(fail("INVALID_FIELD", { field: "scans[3].id", must: "must be short" })),
    });
    const error = await caught(connect(port).getSettings({}, caller));
    expect([error.code, error.rawMessage]).toEqual([Code.InvalidArgument, "scans[3].id must be short"]);
    expect(reasonOf(error)).toMatchObject({ reason: "INVALID_FIELD", metadata: { field: "scans[3].id" } });
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe("scans[3].id");
  });

  it("that fails in a way that nobody foresaw is INTERNAL with the request's id", async () => {
    const { port } = await serve({ getSettings: () => Promise.reject(new Error("hunter2")) });
    const error = await caught(connect(port).getSettings({}, caller));
    expect([error.code, error.rawMessage]).toEqual([Code.Internal, "something went wrong on our side; request req_7"]);
  });

  it("passes headers both ways, and neither envelope nor keys to the handler", async () => {
    let names: string[] = [];
    const { port } = await serve({
      getSettings: (_request: unknown, handler: HandlerContext) => {
        names = [...handler.requestHeader.keys()];
        handler.responseHeader.set("etag", `"${handler.requestHeader.get("if-range")}"`);
        return {};
      },
    });
    let etag: string | null = null;
    const onHeader = (headers: Headers) => {
      etag = headers.get("etag");
    };
    const headers = { "if-range": "7", authorization: "Bearer x", "x-api-key": "x", [ENVELOPE_KEY]: "forged" };
    await connect(port).getSettings({}, { ...caller, headers, onHeader });
    expect(etag).toBe('"7"');
    expect(names.filter((name) => name !== "user-agent")).toEqual(["if-range"]);
  });

  it("carries a megabyte each way", async () => {
    const { port } = await serve({ getSettings: () => ({ timezone: "x".repeat(1 << 20) }), appendAudit: () => ({}) });
    const items = [{ action: "x".repeat(1 << 20) }];
    await connect(port).appendAudit({ items }, caller);
    expect((await connect(port).getSettings({}, caller)).timezone).toHaveLength(1 << 20);
  });

  it("brings a user agent that is as long as HTTP allows", async () => {
    const userAgent = "ü".repeat(8_000);
    const seen: string[] = [];
    const { port } = await serve({
      getSettings: (_request: unknown, handler: HandlerContext) => {
        seen.push(contextOf(handler).userAgent);
        return {};
      },
    });
    await connect(port).getSettings({}, as({ ...context, userAgent }));
    expect(seen).toEqual([userAgent]);
  });

  it("to a method without handler is unimplemented", async () => {
    const { port } = await serve({ getSettings: () => ({}) });
    expect(await told(connect(port).authenticate({ key: "x" }, caller))).toEqual([undefined, Code.Unimplemented]);
  });
});

describe("an envelope", () => {
  it("of another key is UNAUTHENTICATED", async () => {
    const { port } = await serve({ getSettings: () => ({}) });
    const stranger = connect(port, Buffer.alloc(32, 8));
    expect(await told(stranger.getSettings({}, caller))).toEqual(["UNAUTHENTICATED", Code.Unauthenticated]);
  });

  it("that is missing is UNAUTHENTICATED", async () => {
    const { port } = await serve({ getSettings: () => ({}) });
    expect(await told(connect(port).getSettings({}))).toEqual(["UNAUTHENTICATED", Code.Unauthenticated]);
  });

  it.each([
    ["garbage", "garbage"],
    ["a dot", "."],
    ["dots", "a.b.c"],
    ["no JSON", `${Buffer.from("no").toString("base64url")}.AAAA`],
    ["much", "x".repeat(4000)],
    ["one whose time is over", seal(context, { key: KEY, now: Date.now() - 60_000 })],
  ])("that is %s is UNAUTHENTICATED, and the server goes on", async (_case, envelope) => {
    const { port } = await serve({ getSettings: () => ({ timezone: "UTC" }) });
    const metadata = new Metadata();
    metadata.set(ENVELOPE_KEY, envelope);
    expect((await rawCall(port, metadata).catch((error: ServiceError) => error.code)) as number).toBe(16);
    expect((await connect(port).getSettings({}, caller)).timezone).toBe("UTC");
  });
});

/** A call as any gRPC client makes it. */
function rawCall(port: number, metadata: Metadata, body?: Buffer): Promise<unknown> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  closing.push(() => client.close());
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      "/waymark.access.v1.AuthorityService/GetSettings",
      () => body ?? Buffer.from(toBinary(GetSettingsRequestSchema, create(GetSettingsRequestSchema))),
      (bytes: Buffer) => fromBinary(GetSettingsResponseSchema, bytes),
      {},
      metadata,
      (error, value) => (error === null ? resolve(value) : reject(error)),
    );
  });
}

it("a body that is no message is refused, and the server goes on", async () => {
  const { port } = await serve({ getSettings: () => ({ timezone: "UTC" }) });
  const refused = await rawCall(port, new Metadata(), Buffer.from([0xff, 0xff, 0xff])).catch((e: ServiceError) => e);
  expect((refused as ServiceError).code).toBeGreaterThan(0);
  expect((await connect(port).getSettings({}, caller)).timezone).toBe("UTC");
});

it("a server that says that it has too much to do is asked once, even for what may be repeated", async () => {
  let calls = 0;
  const { port } = await serve({
    getSettings: () => {
      calls += 1;
      return Promise.reject(fail("OVERLOADED"));
    },
  });
  expect(await told(connect(port).getSettings({}, caller))).toEqual(["OVERLOADED", Code.Unavailable]);
  expect(calls).toBe(1);
});

describe("the end of a call", () => {
  it("at the client's deadline comes on both sides", async () => {
    const seen: AbortSignal[] = [];
    const { port } = await serve({
      getSettings: (_request: unknown, { signal }: HandlerContext) => {
        seen.push(signal);
        return new Promise(() => {});
      },
    });
    const begun = performance.now();
    expect(await told(connect(port).getSettings({}, { ...caller, timeoutMs: 150 }))).toEqual([
      "DEADLINE",
      Code.DeadlineExceeded,
    ]);
    expect(performance.now() - begun).toBeLessThan(2_000);
    await until(() => seen[0]?.aborted === true);
  });

  it("by the caller reaches the handler's signal", async () => {
    const seen: AbortSignal[] = [];
    const { port } = await serve({
      getSettings: (_request: unknown, { signal }: HandlerContext) => {
        seen.push(signal);
        return new Promise(() => {});
      },
    });
    const gone = new AbortController();
    const running = caught(connect(port).getSettings({}, { ...caller, signal: gone.signal }));
    await until(() => seen.length === 1);
    gone.abort();
    expect((await running).code).toBe(Code.Canceled);
    await until(() => seen[0]?.aborted === true);
  });

  it("before its beginning makes no call", async () => {
    let calls = 0;
    const { port } = await serve({ getSettings: () => ({ calls: ++calls }) });
    const error = await caught(connect(port).getSettings({}, { ...caller, signal: AbortSignal.abort() }));
    expect([error.code, calls]).toEqual([Code.Canceled, 0]);
  });
});
