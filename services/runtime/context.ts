import { type CallOptions, createContextKey, type HandlerContext } from "@connectrpc/connect";
import { fail } from "./failure.ts";

/** Classes of keys. What each may do beyond its scopes: docs and api.md §6. */
export type KeyClass = "admin" | "development" | "production" | "analytics" | "publishable" | "internal" | "anonymous";

/** Who calls: made once from the key by the gateway, and the only source of the workspace. */
export interface Principal {
  /** The workspace that every read and write of this call is bound to. Empty for a caller without a key. */
  workspace: string;
  /** Id of the key, for the audit trail. */
  keyId: string;
  /** Name of the key. */
  keyName: string;
  keyClass: KeyClass;
  /** `codes:read`, `admin`, … */
  scopes: readonly string[];
  /** A development key: it sees and writes test data only. */
  test: boolean;
}

/** What a handler knows of its call besides the request. Time and ids come from here, never from the clock in a rule. */
export interface RequestContext {
  principal: Principal;
  requestId: string;
  /** Address of the caller as far as proxies are trusted; empty for internal calls. Never logged. */
  ip: string;
  /** User agent of the caller; may be empty. */
  userAgent: string;
  /** HTTP method of the caller, as far as it is known: a HEAD is answered as its GET, but is no person's scan. */
  method?: string;
  /**
   * An id that no other request has and that goes with it through all processes. Ids that are made from it come out the same
   * when a call is repeated because its server died.
   */
  seed?: string;
  /** Milliseconds since 1970. */
  now: () => number;
  /** A fresh id: prefix, underscore, ULID. `newId("scan")` → `scan_01J…`. */
  newId: (prefix: string) => string;
}

/** The workspace that holds directories over all workspaces: short ids, key hashes. No key belongs to it. */
export const SYSTEM_WORKSPACE = "_";

/** Where transports keep the RequestContext; handlers use `contextOf`. */
export const requestContextKey = createContextKey<RequestContext | undefined>(undefined, {
  description: "request context",
});

/** The RequestContext of a handler's call. */
export function contextOf(handler: Pick<HandlerContext, "values">): RequestContext {
  const context = handler.values.get(requestContextKey);
  if (context === undefined) throw fail("UNAUTHENTICATED");
  return context;
}

/** Call options that pass the caller, deadline and cancellation of this call on to another service. */
export function forward(handler: Pick<HandlerContext, "values" | "signal">): CallOptions {
  return { contextValues: handler.values, signal: handler.signal };
}
