import type { AddressInfo } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type Config, publicUrlOf } from "#runtime/config.ts";
import type { Gossip } from "#runtime/gossip.ts";
import type { Logger } from "#runtime/logger.ts";
import type { ClientOf } from "#runtime/rpc/clients.ts";
import { addressReader } from "./address.ts";
import { scans } from "./dialects/scans.ts";
import { dialectOfPath } from "./dialects/table.ts";
import { dispatch, dispatchTraced } from "./dispatch.ts";
import { type Exchange, exchangeOpener, type Sent } from "./exchange.ts";
import type { Readiness } from "./health.ts";
import { type News, openParts } from "./parts.ts";
import { HttpRefusal } from "./problems.ts";
import { refuse } from "./refuse.ts";

/** How long requests in flight have at the stop, in milliseconds. */
const DRAIN_MS = 10_000;
/** How long a client may take to send a request, in milliseconds. */
const REQUEST_MS = 120_000;

/** What the gateway stands on. */
export interface GatewayOptions {
  config: Pick<Config, "host" | "port" | "publicUrl" | "trustedProxies" | "rateLimits" | "otlpEndpoint">;
  /** Clients of all services, in this process or another. */
  client: ClientOf;
  /** Services whose public methods are served: as REST where they have a dialect, and as Connect and gRPC-Web. */
  services: readonly DescService[];
  /** What /readyz says. */
  ready: () => Promise<Readiness>;
  /** Country of an address for routing rules, ISO 3166-1 alpha-2; empty when unknown. */
  countryOf: (ip: string) => string;
  /** Where touches wait that intake does not take yet: a folder of this gateway alone, and 32 bytes that seal them. All gateways have the same key. */
  queue: { folder: string; key: Buffer; maxBytes?: number };
  /** Whether every change of a code or key is told to this gateway at once. Without it they are. */
  newsAreFresh?: (() => boolean) | undefined;
  /** The other gateways, so that limits hold over all of them. */
  gossip?: Gossip | undefined;
  log: Logger;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** A running gateway. */
export interface Gateway extends News {
  /** Where it listens: "http://127.0.0.1:8080". */
  url: string;
  port: number;
  /** Touches of redirects that intake has not acknowledged yet, in memory and on the disk. */
  pendingTouches: () => number;
  /** Takes no more, lets requests in flight end, and brings the last touches to intake; what it does not take stays on the disk. */
  close: () => Promise<void>;
}

/** Opens the door: the REST APIs, Connect and gRPC-Web, redirects, pages and health, on one port. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, log } = options;
  const stopping = new AbortController();
  let { port } = config;
  const publicUrl = (): string => publicUrlOf({ publicUrl: config.publicUrl, port });
  const parts = await openParts({ ...options, stopping: stopping.signal, publicUrl });
  const open = exchangeOpener({
    ipOf: addressReader(config.trustedProxies),
    isSecure: config.publicUrl?.startsWith("https:") ?? false,
    stopping: stopping.signal,
  });
  const answer = config.otlpEndpoint === undefined ? dispatch : dispatchTraced;
  const app = openServer({ open, log, answer: (exchange) => answer(exchange, parts.faces) });
  await app.listen({ host: config.host, port: config.port }).catch(async (error: unknown) => {
    await parts.close(0);
    throw error;
  });
  port = (app.server.address() as AddressInfo).port;
  const close = async (): Promise<void> => {
    stopping.abort();
    const until = Date.now() + DRAIN_MS;
    await drain(app);
    await parts.close(Math.max(1_000, until - Date.now()));
  };
  let closing: Promise<void> | undefined;
  return {
    ...parts.news,
    url: urlOf(config.host, port),
    port,
    pendingTouches: () => parts.recorder.depth,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** Where a server that listens on all addresses is found from this machine. */
function urlOf(host: string, port: number): string {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}

/** Bodies are left on the socket: they are read only after the caller was let in. */
function openServer(options: {
  open: (request: FastifyRequest, reply: FastifyReply) => Exchange;
  answer: (exchange: Exchange) => Sent | Promise<Sent>;
  log: Logger;
}): FastifyInstance {
  const { open, answer, log } = options;
  const handle = (request: FastifyRequest, reply: FastifyReply): void => {
    const sent = answer(open(request, reply));
    if (sent instanceof Promise) sent.catch((error: unknown) => giveUp(reply, { error, log }));
  };
  const app = Fastify({
    logger: false,
    requestTimeout: REQUEST_MS,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    frameworkErrors: (_error, request, reply) => handle(request, reply),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  app.all("/*", handle);
  app.setNotFoundHandler(handle);
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const exchange = open(request, reply);
    const isMedia = error.statusCode === 415;
    const cause = isMedia ? new HttpRefusal("CONTENT_TYPE_UNSUPPORTED", { what: "of a known type" }) : error;
    refuse(exchange, { error: cause, dialect: dialectOfPath(exchange.path) ?? scans, log });
  });
  return app;
}

/** The last resort when even the refusal could not be sent: a body that cannot fail, or a cut where one has begun. */
function giveUp(reply: FastifyReply, { error, log }: { error: unknown; log: Logger }): void {
  log.error({ err: error }, "a request could not be answered");
  const { raw } = reply.hijack();
  if (raw.headersSent) raw.destroy();
  else raw.writeHead(500, { "content-type": "application/problem+json" }).end(LAST_RESORT);
}

const LAST_RESORT = '{"type":"about:blank","title":"Internal Server Error","status":500,"code":"INTERNAL"}';

/** Ends when all requests in flight have ended, or when their time is over. */
async function drain(app: FastifyInstance): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), 50);
  const end = setTimeout(() => app.server.closeAllConnections(), DRAIN_MS);
  await app.close();
  clearInterval(idle);
  clearTimeout(end);
}
