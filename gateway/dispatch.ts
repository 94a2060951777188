import { context, propagation, SpanKind } from "@opentelemetry/api";
import { inSpan } from "#runtime/telemetry.ts";
import type { ConnectFace } from "./connect.ts";
import { preflightHeaders } from "./cors.ts";
import { scans } from "./dialects/scans.ts";
import { type Exchange, type Sent, send } from "./exchange.ts";
import { answerLive, answerMetrics, answerReady, type Readiness } from "./health.ts";
import type { Pages } from "./pages.ts";
import type { Pictures } from "./pictures.ts";
import { HttpRefusal } from "./problems.ts";
import { answerRedirect, type Redirects } from "./redirect.ts";
import { refuse } from "./refuse.ts";
import { answerRest, type Rest } from "./rest.ts";

/** Everything that the gateway answers with. */
export interface Faces {
  rest: Rest;
  connect: ConnectFace;
  redirects: Redirects;
  pictures: Pictures;
  pages: Pages;
  openApi: (exchange: Exchange) => Sent;
  ready: () => Promise<Readiness>;
}

type Answering = Sent | Promise<Sent>;

/** Gives a request to the face that answers it: a page, a redirect, an RPC, else the REST APIs. */
export function dispatch(exchange: Exchange, faces: Faces): Answering {
  const { path } = exchange;
  const answer = fixedPage(path, faces) ?? namedPage(path, faces);
  if (answer !== undefined) return onlyRead(exchange, answer, faces.rest);
  if (faces.connect.takes(path)) return faces.connect.answer(exchange);
  return answerRest(exchange, faces.rest, (stranger) => answerNowhere(stranger, faces));
}

/** The same inside a span, which goes on with the caller's trace. */
export function dispatchTraced(exchange: Exchange, faces: Faces): Promise<Sent> {
  const { raw } = exchange.reply;
  const { headers, method = "GET" } = exchange.request.raw;
  const attributes = { "http.request.method": method };
  return context.with(propagation.extract(context.active(), headers), () =>
    inSpan({ name: "http", kind: SpanKind.SERVER, attributes }, async (span) => {
      const sent = await dispatch(exchange, faces);
      span.updateName(exchange.route).setAttribute("http.response.status_code", raw.statusCode);
      return sent;
    }),
  );
}

function fixedPage(path: string, { pages, openApi, ready }: Faces): ((exchange: Exchange) => Answering) | undefined {
  switch (path) {
    case "/":
      return (exchange) => pages.send(exchange, { page: "landing", status: 200 });
    case "/docs":
      return (exchange) => pages.send(exchange, { page: "docs", status: 200 });
    case "/openapi.json":
      return openApi;
    case "/livez":
      return answerLive;
    case "/readyz":
      return (exchange) => answerReady(exchange, ready);
    case "/metrics":
      return (exchange) => answerMetrics(exchange, ready);
    default:
      return undefined;
  }
}

/** `/s/{short_id}`, `/qr/{file}`, `/scan/{encrypted_id}` */
function namedPage(path: string, faces: Faces): ((exchange: Exchange) => Answering) | undefined {
  const [, folder, raw = "", more] = path.split("/", 4);
  if (raw === "" || more !== undefined) return undefined;
  if (folder === "s") return (exchange) => answerRedirect(exchange, decoded(raw), faces.redirects);
  if (folder === "qr") return (exchange) => faces.pictures.answer(exchange, decoded(raw));
  if (folder !== "scan") return undefined;
  return (exchange) => faces.pages.send(exchange, { page: "finder", status: 200 });
}

/** A broken percent-encoding stays as it is: no code has such a name. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function onlyRead(exchange: Exchange, answer: (exchange: Exchange) => Answering, { log }: Rest): Answering {
  const { method } = exchange.request.raw;
  if (method === "GET" || method === "HEAD") return answer(exchange);
  exchange.route = "page";
  const allowed = ["GET", "HEAD", "OPTIONS"];
  const headers = { allow: allowed.join(", ") };
  if (method === "OPTIONS")
    return send(exchange, { status: 204, headers: { ...headers, ...preflightHeaders(allowed) } });
  return refuse(exchange, {
    error: new HttpRefusal("METHOD_NOT_ALLOWED", { what: headers.allow, headers }),
    dialect: scans,
    log,
  });
}

/** Outside of all APIs: a page for people, a problem for programs. */
function answerNowhere(exchange: Exchange, { pages, rest }: Faces): Sent {
  exchange.route = "nowhere";
  const accept = String(exchange.request.raw.headers.accept ?? "");
  if (accept.includes("text/html")) return pages.send(exchange, { page: "nowhere", status: 404 });
  return refuse(exchange, { error: new HttpRefusal("PATH_NOT_FOUND"), dialect: scans, log: rest.log });
}
