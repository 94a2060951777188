import type { DescMethod, DescService, Message } from "@bufbuild/protobuf";
import type { MethodRules } from "#gen/waymark/options/v1/options_pb.ts";
import type { Dialect } from "./dialects/dialect.ts";
import { createCodec, readBindings } from "./transcode/bindings.ts";
import { createRouter } from "./transcode/router.ts";
import type { Template } from "./transcode/template.ts";

/** What a route reads a message from. */
export interface RouteInput {
  /** From `RouteTable.match`. */
  params: readonly string[];
  /** Raw query without "?"; may be empty. */
  query: string;
  /** Raw body; undefined or empty when there is none. */
  body: Uint8Array | undefined;
  /** The request's Content-Type, whole; undefined when it has none. */
  contentType: string | undefined;
}

/** What a route answers. */
export interface RouteReply {
  status: number;
  /** JSON in the dialect's envelope; empty with status 204. */
  body: string;
}

/** One REST face of one RPC: an RPC has one for its rule and one for each additional binding. */
export interface Route {
  /** HTTP method, or "*" for any. */
  method: string;
  /** As in the proto: "/v1/scans/{scan_id}". For spans and metrics too. */
  path: string;
  template: Template;
  service: DescService;
  rpc: DescMethod;
  /** As the proto says, with the defaults filled in: rateClass "default", maxBodyBytes 1 MiB. */
  rules: Omit<MethodRules, "$typeName">;
  dialect: Dialect;
  /** Request field that is the body; "*": the whole message; "": there is no body, and what comes is not looked at. */
  body: string;
  /** Reply field that is the body; "": the whole message. */
  responseBody: string;
  /** How errors call it: "waymark.tags.v1.TagService.GetTag". */
  label: string;
  /** Reads a request. Throws an InputError, and nothing else. */
  read: (input: RouteInput) => Message;
  /** Writes a reply, or one message of a stream. */
  write: (message: Message) => RouteReply;
  /** The same for a client, by its user agent: some can read only one way of writing 64-bit integers. */
  writeFor: (userAgent: string) => (message: Message) => RouteReply;
  /** Name for the caller of a request field given by its path in proto names: "scans[3].scanned_at". */
  nameOf: (protoPath: string) => string;
}

/** What the table says about a method and a path. */
export type RouteMatch =
  | { kind: "route"; route: Route; params: readonly string[] }
  /** The path exists for other methods; `dialect` is how to say so. */
  | { kind: "method"; allowed: readonly string[]; dialect: Dialect }
  | { kind: "none" };

/** All routes of the gateway. */
export interface RouteTable {
  routes: readonly Route[];
  /** `path` is raw, as the client sent it, without query. Never throws. HEAD is not GET here: ask with "GET". */
  match: (method: string, path: string) => RouteMatch;
}

/**
 * Compiles the routes of all services that have a dialect. Throws one Error that lists everything that is wrong with the
 * contract: a public RPC without rule or scopes, a rule on an internal one, a path or field that does not exist, two RPCs
 * on one path.
 */
export function compileRoutes(services: readonly DescService[], dialects: ReadonlyMap<number, Dialect>): RouteTable {
  const problems: string[] = [];
  const codecs = new Map([...dialects].map(([number, dialect]) => [number, createCodec(dialect)]));
  const routes = services.flatMap((service) => readBindings(service, codecs, problems));
  const router = createRouter(routes, problems);
  if (problems.length > 0) throw new Error(`the contract cannot be served:\n${problems.join("\n")}`);
  return {
    routes,
    match: (method, path) => {
      const found = router.match(method, path);
      if (found.kind === "route") return { kind: "route", route: found.target, params: found.params };
      if (found.kind === "method") return { kind: "method", allowed: found.allowed, dialect: found.target.dialect };
      return found;
    },
  };
}
