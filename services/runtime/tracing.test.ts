import { createServer, type Server } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { forward } from "./context.ts";
import { fail } from "./failure.ts";
import { as, internalContext, newId } from "./internal.ts";
import { openLogger } from "./logger.ts";
import { clientsOver } from "./rpc/clients.ts";
import { createGrpcTransport } from "./rpc/grpc-client.ts";
import { type GrpcServer, startGrpcServer } from "./rpc/grpc-server.ts";
import { createInProcessTransport } from "./rpc/in-process.ts";
import { serverInterceptors } from "./rpc/interceptors.ts";
import { bindMethods } from "./rpc/methods.ts";
import { inSpan, traceparent } from "./telemetry.ts";
import { startTracing } from "./tracing.ts";

interface Span {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  status: { code?: number; message?: string };
  attributes: { key: string; value: { stringValue?: string } }[];
}

/** What a collector was sent. */
const received: { path: string; body: string }[] = [];
const spans = (): Span[] =>
  received.flatMap(({ body }) => {
    const { resourceSpans } = JSON.parse(body) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };
    return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
  });

let collector: Server;
let grpc: GrpcServer;
let tracing: ReturnType<typeof startTracing>;
const closing: (() => void)[] = [];
beforeAll(async () => {
  collector = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on("data", (chunk: Buffer) => chunks.push(chunk))
      .on("end", () => {
        received.push({ path: request.url ?? "", body: Buffer.concat(chunks).toString() });
        response.setHeader("content-type", "application/json").end("{}");
      });
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  tracing = startTracing(`http://127.0.0.1:${(collector.address() as { port: number }).port}`, "test");
});
afterAll(async () => {
  for (const close of closing) close();
  await grpc.close(500);
  collector.close();
});

/** Two handlers, the first of which calls the second in its process; served over gRPC. */
async function serve() {
  const inner = { authenticate: () => Promise.reject(fail("UNAUTHENTICATED")) };
  const outer = {
    appendAudit: async (_request: unknown, handler: Parameters<typeof forward>[0]) => {
      await local(AuthorityService)
        .authenticate({ key: "hunter2" }, forward(handler))
        .catch(() => undefined);
      return {};
    },
  };
  const routes = { ...inner, ...outer };
  const methods = bindMethods(
    (router) => router.service(AuthorityService, routes),
    serverInterceptors(openLogger("silent")),
  );
  const local = clientsOver(() => createInProcessTransport(methods));
  grpc = await startGrpcServer({
    address: "127.0.0.1:0",
    methods,
    key: Buffer.alloc(32),
    authenticate: () => Promise.reject(fail("UNAUTHENTICATED")),
    complete: (envelope) => ({ ...envelope, now: Date.now, newId }),
  });
  const transport = createGrpcTransport({
    target: `127.0.0.1:${grpc.port}`,
    key: Buffer.alloc(32),
  });
  closing.push(transport.close);
  return clientsOver(() => transport)(AuthorityService);
}

describe("with an endpoint for traces", () => {
  it("one trace goes from the caller over gRPC to what the handler calls, and names no secret", async () => {
    const client = await serve();
    const context = internalContext("acme", { ip: "192.0.2.7", userAgent: "hunter2" });
    let parent = "";
    await inSpan({ name: "http" }, async () => {
      parent = traceparent();
      await client.appendAudit({ items: [{ action: "x", object: "hunter2" }] }, as(context));
    });
    expect(parent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    await tracing.stop();
    expect(received[0]?.path).toBe("/v1/traces");
    const all = spans();
    expect(new Set(all.map(({ traceId }) => traceId))).toEqual(new Set([parent.slice(3, 35)]));
    const chain: string[] = [];
    for (
      let span = all.find(({ attributes }) => attributes.some(({ value }) => value.stringValue === "Authenticate"));
      span;
    ) {
      chain.unshift(span.name);
      const { parentSpanId } = span;
      span = all.find(({ spanId }) => spanId === parentSpanId);
    }
    expect(chain).toEqual(["http", "rpc.client", "rpc.server", "rpc.server"]);
    expect(all.map(({ status }) => status.message ?? "").sort()).toEqual(["", "", "", "ConnectError"]);
    expect(JSON.stringify(received)).not.toMatch(/hunter2|192\.0\.2\.7/);
  });

  it("that is away a stop neither fails nor takes long", async () => {
    const away = startTracing("http://127.0.0.1:1", "test");
    await inSpan({ name: "http" }, async () => undefined);
    const begun = performance.now();
    await away.stop();
    expect(performance.now() - begun).toBeLessThan(6_000);
  });
});
