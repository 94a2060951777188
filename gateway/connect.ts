import type { IncomingMessage } from "node:http";
import { type DescMethod, type DescService, getOption, type Message } from "@bufbuild/protobuf";
import {
  type CallOptions,
  type ConnectRouter,
  type ContextValues,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Audience, type MethodRules, method as methodOption } from "#gen/waymark/options/v1/options_pb.ts";
import { type RequestContext, requestContextKey } from "#runtime/context.ts";
import type { Logger } from "#runtime/logger.ts";
import type { ClientOf } from "#runtime/rpc/clients.ts";
import type { Admission } from "./admission.ts";
import { DEADLINE_MS, invoke } from "./call.ts";
import { preflightHeaders } from "./cors.ts";
import { scans } from "./dialects/scans.ts";
import { type Exchange, observe, SENT, type Sent, send } from "./exchange.ts";
import { internalStripper } from "./internal-fields.ts";
import { type Positions, positionIn } from "./positions.ts";
import { HttpRefusal, problemHeaders, problemOf, publicError } from "./problems.ts";
import { refuse } from "./refuse.ts";

const DEFAULT_BODY_BYTES = 1 << 20;

/** The RPCs of all services for Connect and gRPC-Web clients. */
export interface ConnectFace {
  /** Whether a path is that of an RPC: "/waymark.tags.v1.TagService/GetTag". */
  takes: (path: string) => boolean;
  /** Answers a call, refusals too. Never rejects. */
  answer: (exchange: Exchange) => Promise<Sent>;
}

/** What was decided at the door, before the protocol is looked at. */
type Decision = { context: RequestContext } | { refusal: unknown };

const decisionKey = createContextKey<Decision | undefined>(undefined, { description: "decision at the door" });

/** Opens the Connect face. Internal methods are not there: to a stranger they do not exist. */
export function openConnect(options: {
  services: readonly DescService[];
  admission: Admission;
  client: ClientOf;
  positions: Positions;
  log: Logger;
}): ConnectFace {
  const { services, admission, client, positions, log } = options;
  const entries = publicMethods(services);
  const decisions = new WeakMap<IncomingMessage, Decision>();
  const adapter = connectNodeAdapter({
    routes: (router) => {
      for (const { rpc, rules } of entries.values()) addProxy(router, { rpc, rules, client, positions });
    },
    grpc: false,
    interceptors: [door(log)],
    contextValues: (request) => createContextValues().set(decisionKey, decisions.get(request as IncomingMessage)),
  });
  return {
    takes: (path) => path.startsWith("/waymark."),
    answer: async (exchange) => {
      const entry = entries.get(exchange.path);
      const { request, reply } = exchange;
      if (entry === undefined || request.raw.method !== "POST") return otherThanCall(exchange, { entry, log });
      exchange.route = labelOf(entry.rpc);
      const decision = await decide(exchange, { admission, rules: entry.rules, log });
      decisions.set(request.raw, decision);
      for (const [name, value] of Object.entries(exchange.headers)) reply.raw.setHeader(name, value);
      reply.raw.once("close", () => observe(exchange, reply.raw.statusCode));
      adapter(request.raw, reply.hijack().raw);
      return SENT;
    },
  };
}

interface Entry {
  rpc: DescMethod;
  rules: MethodRules;
}

function publicMethods(services: readonly DescService[]): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const rpc of services.flatMap(({ methods }) => methods)) {
    const rules = getOption(rpc, methodOption);
    if (rules.audience !== Audience.INTERNAL) entries.set(`/${rpc.parent.typeName}/${rpc.name}`, { rpc, rules });
  }
  return entries;
}

function labelOf(rpc: DescMethod): string {
  return `${rpc.parent.typeName}.${rpc.name}`;
}

function otherThanCall(exchange: Exchange, { entry, log }: { entry: Entry | undefined; log: Logger }): Sent {
  const allowed = ["POST", "OPTIONS"];
  const headers = { allow: allowed.join(", ") };
  if (entry === undefined) return refuse(exchange, { error: new HttpRefusal("PATH_NOT_FOUND"), dialect: scans, log });
  if (exchange.request.raw.method === "OPTIONS") {
    return send(exchange, { status: 204, headers: { ...headers, ...preflightHeaders(allowed) } });
  }
  const error = new HttpRefusal("METHOD_NOT_ALLOWED", { what: headers.allow, headers });
  return refuse(exchange, { error, dialect: scans, log });
}

async function decide(
  exchange: Exchange,
  { admission, rules, log }: { admission: Admission; rules: MethodRules; log: Logger },
): Promise<Decision> {
  try {
    return { context: await admission.admit(exchange, rules) };
  } catch (error) {
    const problem = problemOf(error, { requestId: exchange.requestId, route: exchange.route, log });
    Object.assign(exchange.headers, problemHeaders(problem, error));
    return { refusal: error };
  }
}

/** Lets in whom the door let in. A refusal is thrown here, so that it is written in the protocol of the caller. */
function door(log: Logger): Interceptor {
  return (next) => async (request) => {
    const decision = request.contextValues.get(decisionKey);
    const context = decision !== undefined && "context" in decision ? decision.context : undefined;
    const failed = {
      requestId: context?.requestId ?? "-",
      route: `${request.service.typeName}.${request.method.name}`,
      log,
    };
    if (context === undefined)
      throw publicError(decision !== undefined && "refusal" in decision && decision.refusal, failed);
    request.contextValues.set(requestContextKey, context);
    try {
      return await next(request);
    } catch (error) {
      throw publicError(error, failed);
    }
  };
}

function addProxy(
  router: ConnectRouter,
  { rpc, rules, client, positions }: Entry & { client: ClientOf; positions: Positions },
): void {
  const options = { readMaxBytes: rules.maxBodyBytes || DEFAULT_BODY_BYTES };
  const stripRequest = internalStripper(rpc.input);
  const stripReply = internalStripper(rpc.output);
  const proxy = async (message: Message, { values, signal, timeoutMs }: HandlerContext) => {
    stripRequest(message);
    const limit = Math.min(timeoutMs() ?? DEADLINE_MS, DEADLINE_MS);
    const call = { contextValues: values, signal, timeoutMs: limit, ...followed(values, positions) };
    const reply = await invoke(client(rpc.parent), { rpc, message }, call);
    stripReply(reply);
    return reply;
  };
  async function* stream(message: Message, { values, signal }: HandlerContext) {
    stripRequest(message);
    const call = { contextValues: values, signal, ...followed(values, positions) };
    for await (const reply of invoke<AsyncIterable<Message>>(client(rpc.parent), { rpc, message }, call)) {
      stripReply(reply);
      yield reply;
    }
  }
  router.rpc(rpc, (rpc.methodKind === "unary" ? proxy : stream) as never, options);
}

/** Options that make a call see what its workspace has written, and remember what it writes. */
function followed(values: ContextValues, positions: Positions): Pick<CallOptions, "headers" | "onHeader"> {
  const { workspace = "", test = false } = values.get(requestContextKey)?.principal ?? {};
  return {
    headers: positions.headersFor({ workspace, test }),
    onHeader: (from) => positions.note(workspace, positionIn(from)),
  };
}
