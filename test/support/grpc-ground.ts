import { ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Client, credentials } from "@grpc/grpc-js";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { fail, reasonOf } from "#runtime/failure.ts";
import { as, internalContext, newId } from "#runtime/internal.ts";
import { openLogger } from "#runtime/logger.ts";
import { clientsOver } from "#runtime/rpc/clients.ts";
import { createGrpcTransport } from "#runtime/rpc/grpc-client.ts";
import { type GrpcServer, type GrpcServerOptions, startGrpcServer } from "#runtime/rpc/grpc-server.ts";
import { serverInterceptors } from "#runtime/rpc/interceptors.ts";
import { bindMethods } from "#runtime/rpc/methods.ts";

/** Key of the envelopes. */
export const KEY = Buffer.alloc(32, 7);

/** What a test has opened. */
export const closing: (() => unknown)[] = [];

/** Closes all that a test has opened, the last first. For afterEach. */
export async function closeAll(): Promise<void> {
  for (const close of closing.splice(0).toReversed()) await close();
}

/** A server of an authority service with these handlers, on a free port of this machine or a given one. */
export function serve(handlers: object, address = "127.0.0.1:0", given: Partial<GrpcServerOptions> = {}) {
  return serveAll((router) => void router.service(AuthorityService, handlers), { address, ...given });
}

/** Handlers inside the server's interceptors. */
export const bound = (routes: (router: ConnectRouter) => void) =>
  bindMethods(routes, serverInterceptors(openLogger("silent")));

/** A server of these services. */
export async function serveAll(
  routes: (router: ConnectRouter) => void,
  given: Partial<GrpcServerOptions> = {},
): Promise<GrpcServer> {
  const server = await startGrpcServer({
    address: "127.0.0.1:0",
    methods: bound(routes),
    key: KEY,
    authenticate: () => Promise.reject(fail("UNAUTHENTICATED")),
    complete: (envelope) => ({ ...envelope, now: Date.now, newId }),
    ...given,
  });
  closing.push(() => server.close(0));
  return server;
}

/** A client of the server on a port, over the real transport. */
export function connect(port: number, key = KEY) {
  const transport = createGrpcTransport({ target: `127.0.0.1:${port}`, key });
  closing.push(transport.close);
  return clientsOver(() => transport)(AuthorityService);
}

/** Who calls. */
export const context = internalContext("acme", { requestId: "req_7", ip: "192.0.2.7", userAgent: "Mozilla/5.0 (ü)" });

/** Options of a call in that name. */
export const caller = as({ ...context, method: "HEAD" });

/** The error of a call that must fail. */
export const caught = (work: Promise<unknown>) =>
  work.then(
    () => new Error("passes"),
    (e: unknown) => e,
  ) as Promise<ConnectError>;

/** Its reason and code. */
export const told = async (work: Promise<unknown>) => {
  const error = await caught(work);
  return [reasonOf(error)?.reason, ConnectError.from(error).code];
};

/** Waits for a condition, for two seconds at most. */
export async function until(holds: () => boolean): Promise<void> {
  for (let attempt = 0; !holds(); attempt += 1) {
    if (attempt > 400) throw new Error("it did not come true");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Asks until it is so, for ten seconds at most. */
export async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const until = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > until) throw new Error("it did not come true");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The words of a health watch, as they come. */
export function watchHealth(port: number, service: string): string[] {
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
  stream
    .on("data", (word: string) => words.push(word))
    .on("end", () => words.push("closed"))
    .on("error", () => words.push("closed"));
  return words;
}
