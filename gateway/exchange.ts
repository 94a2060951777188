import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import { httpDuration } from "#runtime/telemetry.ts";

/** One request and its answer. */
export interface Exchange {
  request: FastifyRequest;
  reply: FastifyReply;
  /** As the client wrote it, without the query. */
  path: string;
  /** Without "?"; may be empty. */
  query: string;
  requestId: string;
  /** Address of the caller, as far as proxies are trusted. Never logged. */
  ip: string;
  /** RPC or page, for metrics, spans and the log. Never the path, because a path can hold a token. */
  route: string;
  /** Headers that the answer has, whatever it will be. */
  headers: Record<string, string>;
  /** `performance.now()` of its beginning. */
  begun: number;
}

/** Proof that an exchange was answered: whoever has to answer has to return one. */
export type Sent = "sent";

/** For those who answer without `send`. */
export const SENT: Sent = "sent";

/** What is sent. */
export interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
}

/** Headers of every answer that is not a page. */
const SAFE: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
};

/** Opens exchanges. */
export function exchangeOpener(options: {
  ipOf: (request: FastifyRequest["raw"]) => string;
  /** The public address is https: browsers are told to stay with it. */
  isSecure: boolean;
  /** From then on every answer closes its connection. */
  stopping: AbortSignal;
}): (request: FastifyRequest, reply: FastifyReply) => Exchange {
  const base = options.isSecure ? { ...SAFE, "strict-transport-security": "max-age=31536000" } : SAFE;
  return (request, reply) => {
    const url = request.raw.url ?? "/";
    const mark = url.indexOf("?");
    const requestId = requestIdOf(request);
    const headers: Record<string, string> = { ...base, "x-request-id": requestId };
    if (options.stopping.aborted) headers.connection = "close";
    return {
      request,
      reply,
      path: mark < 0 ? url : url.slice(0, mark),
      query: mark < 0 ? "" : url.slice(mark + 1),
      requestId,
      ip: options.ipOf(request.raw),
      route: "unknown",
      headers,
      begun: performance.now(),
    };
  };
}

/** Sends the answer, once. HEAD gets the headers alone. */
export function send(exchange: Exchange, { status, headers, body }: Answer): Sent {
  observe(exchange, status);
  const { raw } = exchange.reply.hijack();
  const all: Record<string, string | number> = { ...exchange.headers, ...headers };
  if (status !== 204 && status !== 304) all["content-length"] = body === undefined ? 0 : Buffer.byteLength(body);
  raw.writeHead(status, all);
  raw.end(body);
  return SENT;
}

/** Notes that an exchange was answered. */
export function observe({ route, begun }: Exchange, status: number): void {
  httpDuration.labels(route, String(status)).observe((performance.now() - begun) / 1000);
}

/** What a status is called: "Not Found". */
export function phraseOf(status: number): string {
  return STATUS_CODES[status] ?? "Error";
}

/** The caller's own id when it is 1–64 safe characters, else a fresh one. */
function requestIdOf(request: FastifyRequest): string {
  const given = request.raw.headers["x-request-id"];
  return typeof given === "string" && /^[\w.:-]{1,64}$/.test(given) ? given : `req_${randomUUID()}`;
}
