import { create, type DescMethodUnary, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import {
  AuthorityService,
  GetSettingsRequestSchema,
  GetSettingsResponseSchema,
} from "#gen/waymark/access/v1/authority_pb.ts";
import { contextOf, type RequestContext } from "../context.ts";
import { fail, reasonOf } from "../failure.ts";
import { as, internalContext, newId } from "../internal.ts";
import { openLogger } from "../logger.ts";
import { clientsOver } from "./clients.ts";
import { seal } from "./envelope.ts";
import { createGrpcTransport, ENVELOPE_KEY } from "./grpc-client.ts";
import { type GrpcServer, startGrpcServer } from "./grpc-server.ts";
import { serverInterceptors } from "./interceptors.ts";
import { bindMethods } from "./methods.ts";

const KEY = Buffer.alloc(32, 7);
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** A server of an authority service with these handlers, on a free port of this machine or a given one. */
async function serve(handlers: object, address = "127.0.0.1:0"): Promise<GrpcServer> {
  const routes = (router: ConnectRouter) => void router.service(AuthorityService, handlers);
  const server = await startGrpcServer({
    address,
    methods: bindMethods(routes, serverInterceptors(openLogger("silent"))),
    key: KEY,
    authenticate: () => Promise.reject(fail("UNAUTHENTICATED")),
    complete: (envelope) => ({ ...envelope, now: Date.now, newId }),
  });
  closing.push(() => server.close(0));
  return server;
}

function connect(port: number, key = KEY) {
  const methods = AuthorityService.methods as unknown as DescMethodUnary[];
  const transport = createGrpcTransport({ target: `127.0.0.1:${port}`, methods, key });
  closing.push(transport.close);
  return clientsOver(() => transport)(AuthorityService);
}

const context = internalContext("acme", { requestId: "req_7", ip: "192.0.2.7", userAgent: "Mozilla/5.0 (ü)" });
const caller = as({ ...context, method: "HEAD" });
const caught = (work: Promise<unknown>) =>
  work.then(
    () => new Error("passes"),
    (e: unknown) => e,
  ) as Promise<ConnectError>;
const told = async (work: Promise<unknown>) => {
  const error = await caught(work);
  return [reasonOf(error)?.reason, ConnectError.from(error).code];
};

/** Waits for a condition, for two seconds at most. */
async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; !holds(); attempt += 1) {
    if (attempt > 400) throw new Error("it did not come true");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

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

describe("a server that is away", () => {
  it("is told without its address", async () => {
    const { port, close } = await serve({ getSettings: () => ({}) });
    await close(0);
    const error = await caught(connect(port).appendAudit({}, caller));
    expect([error.code, error.rawMessage]).toEqual([
      Code.Unavailable,
      "a part of Waymark does not answer; try again shortly",
    ]);
  });

  it("and comes back within the second answers an idempotent call that was made meanwhile", async () => {
    const first = await serve({ getSettings: () => ({ timezone: "first" }) });
    const client = connect(first.port);
    expect((await client.getSettings({}, caller)).timezone).toBe("first");
    await first.close(0);
    const asked = client.getSettings({}, { ...caller, timeoutMs: 10_000 });
    await new Promise((resolve) => setTimeout(resolve, 400));
    await serve({ getSettings: () => ({ timezone: "second" }) }, `127.0.0.1:${first.port}`);
    expect((await asked).timezone).toBe("second");
  });

  it("and stays away fails an idempotent call in some seconds, and any other at once", async () => {
    const { port, close } = await serve({ getSettings: () => ({}) });
    await close(0);
    const took = async (call: (client: ReturnType<typeof connect>) => Promise<unknown>) => {
      const begun = performance.now();
      expect((await caught(call(connect(port)))).code).toBe(Code.Unavailable);
      return performance.now() - begun;
    };
    expect(await took((client) => client.appendAudit({}, caller))).toBeLessThan(500);
    expect(await took((client) => client.getSettings({}, caller))).toBeLessThan(6_000);
  });

  it("stops the start of another on its port, saying which", async () => {
    const { port } = await serve({ getSettings: () => ({}) });
    await expect(serve({ getSettings: () => ({}) }, `127.0.0.1:${port}`)).rejects.toThrow(String(port));
  });
});

/** The words of a health watch, as they come. */
function watchHealth(port: number, service: string): string[] {
  const words: string[] = [];
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  closing.push(() => client.close());
  const request = Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
  const stream = client.makeServerStreamRequest(
    "/grpc.health.v1.Health/Watch",
    () => (service === "" ? Buffer.alloc(0) : request),
    (bytes: Buffer) => ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"][bytes[1] ?? 0] as string,
    {},
  );
  stream.on("data", (word: string) => words.push(word)).on("error", () => words.push("closed"));
  return words;
}

describe("health", () => {
  it("is SERVING, then NOT_SERVING at the close, for the server and each service", async () => {
    let end = () => {};
    const { port, close } = await serve({
      getSettings: () => new Promise((resolve) => (end = () => resolve({ timezone: "late" }))),
    });
    const watches = ["", "waymark.access.v1.AuthorityService"].map((name) => watchHealth(port, name));
    const running = connect(port).getSettings({}, caller);
    await until(() => watches.every((words) => words.length === 1));
    const closed = close(2_000);
    await until(() => watches.every((words) => words.length >= 2));
    expect(watches.map((words) => words.slice(0, 2))).toEqual(Array(2).fill(["SERVING", "NOT_SERVING"]));
    end();
    expect((await running).timezone).toBe("late");
    await closed;
  });

  it("follows what it is told", async () => {
    const { port, setServing } = await serve({ getSettings: () => ({}) });
    const words = watchHealth(port, "");
    await until(() => words.length === 1);
    setServing(false);
    await until(() => words.length === 2);
    setServing(true);
    await until(() => words.length === 3);
    expect(words).toEqual(["SERVING", "NOT_SERVING", "SERVING"]);
  });
});

describe("closing", () => {
  it("lets a running call end and takes no new one", async () => {
    let end = () => {};
    const { port, close } = await serve({
      getSettings: () => new Promise((resolve) => (end = () => resolve({ timezone: "late" }))),
    });
    const client = connect(port);
    const running = client.getSettings({}, caller);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const begun = performance.now();
    const closed = close(10_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await caught(client.appendAudit({}, caller))).code).toBe(Code.Unavailable);
    end();
    expect((await running).timezone).toBe("late");
    await closed;
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  it("ends a call that does not end, at the limit", async () => {
    const { port, close } = await serve({ getSettings: () => new Promise(() => {}) });
    const running = caught(connect(port).getSettings({}, { ...caller, timeoutMs: 3_000 }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const begun = performance.now();
    await close(200);
    expect(performance.now() - begun).toBeLessThan(1_500);
    expect(ConnectError.from(await running).code).not.toBe(0);
  });

  it("of an idle server with clients that stay connected takes no time", async () => {
    const { port, close } = await serve({ getSettings: () => ({}) });
    await connect(port).getSettings({}, caller);
    const begun = performance.now();
    await close(10_000);
    expect(performance.now() - begun).toBeLessThan(1_000);
  });

  it("twice is as once", async () => {
    const { close } = await serve({ getSettings: () => ({}) });
    await Promise.all([close(1_000), close(1_000)]);
    await close(1_000);
  });
});
