import type { Message } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";
import type { HttpBody } from "#gen/google/api/httpbody_pb.ts";
import type { Logger } from "#runtime/logger.ts";
import type { ClientOf } from "#runtime/rpc/clients.ts";
import type { Admission } from "./admission.ts";
import { readBody } from "./body.ts";
import { callOptions, DEADLINE_MS, invoke } from "./call.ts";
import { preflightHeaders } from "./cors.ts";
import type { Dialect } from "./dialects/dialect.ts";
import { dialectOfPath } from "./dialects/table.ts";
import { holdsTag } from "./etag.ts";
import { type Answer, type Exchange, type Sent, send } from "./exchange.ts";
import type { Positions } from "./positions.ts";
import { HttpRefusal } from "./problems.ts";
import { fetcher, sendRanged } from "./ranged.ts";
import { refuse } from "./refuse.ts";
import type { Route, RouteTable } from "./routes.ts";
import { sendStream } from "./stream.ts";
import { isRaw } from "./transcode/reply.ts";
import { readInTurns } from "./transcode/slices.ts";

/** What the REST face stands on. */
export interface Rest {
  table: RouteTable;
  admission: Admission;
  client: ClientOf;
  positions: Positions;
  log: Logger;
  /** The gateway stops: streams end. */
  stopping: AbortSignal;
}

/** Answers a request of one of the REST APIs, refusals too. `stranger` answers paths outside of all APIs. */
export async function answerRest(
  exchange: Exchange,
  rest: Rest,
  stranger: (exchange: Exchange) => Sent,
): Promise<Sent> {
  const { path, request } = exchange;
  const method = request.raw.method ?? "GET";
  const match = rest.table.match(method === "HEAD" ? "GET" : method, path);
  if (match.kind === "route") {
    const { route, params } = match;
    exchange.route = route.label;
    try {
      return await answerRoute(exchange, { route, params }, rest);
    } catch (error) {
      return refuse(exchange, { error, dialect: route.dialect, nameOf: route.nameOf, log: rest.log });
    }
  }
  if (match.kind === "method") return answerOtherMethod(exchange, match, rest.log);
  const dialect = dialectOfPath(path);
  if (dialect === undefined) return stranger(exchange);
  const error = new HttpRefusal(/%(?![0-9a-f]{2})/i.test(path) ? "URL_MALFORMED" : "PATH_NOT_FOUND");
  return refuse(exchange, { error, dialect, log: rest.log });
}

function answerOtherMethod(
  exchange: Exchange,
  match: { allowed: readonly string[]; dialect: Dialect },
  log: Logger,
): Sent {
  const allowed = [...match.allowed, ...(match.allowed.includes("GET") ? ["HEAD"] : []), "OPTIONS"];
  const headers = { allow: allowed.join(", ") };
  if (exchange.request.raw.method === "OPTIONS") {
    return send(exchange, { status: 204, headers: { ...headers, ...preflightHeaders(allowed) } });
  }
  const error = new HttpRefusal("METHOD_NOT_ALLOWED", { what: headers.allow, headers });
  return refuse(exchange, { error, dialect: match.dialect, log });
}

async function answerRoute(
  exchange: Exchange,
  { route, params }: { route: Route; params: readonly string[] },
  { admission, client, positions, stopping }: Rest,
): Promise<Sent> {
  const { raw } = exchange.request;
  const { rpc, rules } = route;
  const context = await admission.admit(exchange, rules);
  const body = route.body === "" ? undefined : await readBody(raw, rules.maxBodyBytes);
  const message = await readInTurns(route, {
    params,
    query: exchange.query,
    body,
    contentType: raw.headers["content-type"],
  });
  const options = callOptions(exchange, { context, positions });
  if (rpc.methodKind !== "unary") {
    const signal = AbortSignal.any([stopping, ...(options.signal ? [options.signal] : [])]);
    const messages = invoke<AsyncIterable<Message>>(client(route.service), { rpc, message }, { ...options, signal });
    return sendStream(exchange, { route, messages, stopping });
  }
  const ask = (all: CallOptions) => invoke(client(route.service), { rpc, message }, { ...all, timeoutMs: DEADLINE_MS });
  if (rules.ranged) return sendRanged(exchange, fetcher(route, { options, ask }));
  const reply = await ask(options);
  exchange.headers["cache-control"] ??= "no-store";
  return send(exchange, answerOf(exchange, route, reply));
}

function answerOf(exchange: Exchange, route: Route, reply: Message): Answer {
  if (isRaw({ desc: route.rpc.output, responseBody: route.responseBody })) return rawAnswer(exchange, route, reply);
  const { status, body } = route.writeFor(exchange.request.raw.headers["user-agent"] ?? "")(reply);
  if (status === 204) return { status };
  return { status, headers: { "content-type": "application/json" }, body };
}

/** A reply that is not JSON: a picture, a file. A part of it is 206, as its Content-Range says. */
function rawAnswer(exchange: Exchange, { rpc, responseBody }: Route, reply: Message): Answer {
  const { headers, request } = exchange;
  const field = rpc.output.fields.find(({ name }) => name === responseBody);
  const holder = reply as unknown as Record<string, HttpBody | undefined>;
  const body = field === undefined ? (reply as HttpBody) : holder[field.localName];
  if (holdsTag(request.raw.headers["if-none-match"], headers.etag)) return { status: 304 };
  return {
    status: headers["content-range"] === undefined ? 200 : 206,
    headers: { "content-type": body?.contentType || "application/octet-stream" },
    body: body?.data ?? new Uint8Array(),
  };
}
