import type { AddressInfo } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import type { ObjectChanged } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import { type Config, publicUrlOf } from "#runtime/config.ts";
import type { Logger } from "#runtime/logger.ts";
import type { ClientOf } from "#runtime/rpc/clients.ts";
import manifest from "../package.json" with { type: "json" };
import { addressReader } from "./address.ts";
import { openAdmission } from "./admission.ts";
import { openAuthenticator } from "./authenticate.ts";
import { openConnect } from "./connect.ts";
import { scans } from "./dialects/scans.ts";
import { dialectOfPath, dialects } from "./dialects/table.ts";
import { openDirectory } from "./directory.ts";
import { dispatch, dispatchTraced, type Faces } from "./dispatch.ts";
import { serveDocument } from "./document.ts";
import { type Exchange, exchangeOpener, type Sent } from "./exchange.ts";
import type { Readiness } from "./health.ts";
import { openLimiter } from "./limit.ts";
import { openApi } from "./openapi.ts";
import { openPages } from "./pages.ts";
import { openPictures } from "./pictures.ts";
import { HttpRefusal } from "./problems.ts";
import { Recorder } from "./recorder.ts";
import { refuse } from "./refuse.ts";
import { compileRoutes } from "./routes.ts";

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
  log: Logger;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/** A running gateway. */
export interface Gateway {
  /** Where it listens: "http://127.0.0.1:8080". */
  url: string;
  port: number;
  /** Drops what is kept of codes that have changed. For entries of `codes.changed`. */
  codesChanged: (change: Pick<ObjectChanged, "objectId" | "aliases">) => void;
  /** Drops what is kept of keys that have changed. For entries of `keys.changed`. */
  keysChanged: (change: Pick<ObjectChanged, "objectId" | "aliases">) => void;
  /** Touches of redirects that intake has not acknowledged yet. */
  pendingTouches: () => number;
  /** Takes no more, lets requests in flight end, and brings the last touches to intake. */
  close: () => Promise<void>;
}

/** Opens the door: the REST APIs, Connect and gRPC-Web, redirects, pages and health, on one port. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, log } = options;
  const stopping = new AbortController();
  let { port } = config;
  const publicUrl = (): string => publicUrlOf({ publicUrl: config.publicUrl, port });
  const parts = openParts({ ...options, stopping: stopping.signal, publicUrl });
  const open = exchangeOpener({
    ipOf: addressReader(config.trustedProxies),
    isSecure: config.publicUrl?.startsWith("https:") ?? false,
    stopping: stopping.signal,
  });
  const answer = config.otlpEndpoint === undefined ? dispatch : dispatchTraced;
  const app = openServer({ open, log, answer: (exchange) => answer(exchange, parts.faces) });
  await app.listen({ host: config.host, port: config.port });
  port = (app.server.address() as AddressInfo).port;
  return {
    url: urlOf(config.host, port),
    port,
    codesChanged: parts.codesChanged,
    keysChanged: parts.keysChanged,
    pendingTouches: () => parts.recorder.depth,
    close: async () => {
      stopping.abort();
      const until = Date.now() + DRAIN_MS;
      await drain(app);
      await parts.recorder.close(Math.max(1_000, until - Date.now()));
    },
  };
}

interface Parts extends Pick<Gateway, "codesChanged" | "keysChanged"> {
  faces: Faces;
  recorder: Recorder;
}

/** Where a server that listens on all addresses is found from this machine. */
function urlOf(host: string, port: number): string {
  const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`;
}

function openParts(options: GatewayOptions & { stopping: AbortSignal; publicUrl: () => string }): Parts {
  const { config, client, services, log, countryOf, now = Date.now, stopping, publicUrl } = options;
  const authenticator = openAuthenticator(client(AuthorityService), now);
  const admission = openAdmission({ authenticator, limiter: openLimiter(config.rateLimits), now });
  const codes = client(DirectoryService);
  const directory = openDirectory(codes, now);
  const pictures = openPictures({ codes, admission, log });
  const recorder = new Recorder({ intake: client(IntakeService), log });
  const pages = openPages();
  const table = compileRoutes(services, dialects);
  return {
    recorder,
    faces: {
      rest: { table, admission, client, log, stopping },
      connect: openConnect({ services, admission, client, log }),
      redirects: { directory, recorder, pages, countryOf, now, log },
      pictures,
      pages,
      openApi: serveDocument("openapi", () => openApi(table, { publicUrl: publicUrl(), version: manifest.version })),
      ready: async () => (stopping.aborted ? STOPPING : options.ready()),
    },
    codesChanged: (change) => {
      directory.invalidate(change);
      pictures.invalidate(change);
    },
    keysChanged: authenticator.invalidate,
  };
}

const STOPPING: Readiness = { ready: false, dependencies: { gateway: "stopping" }, lag: {} };

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
