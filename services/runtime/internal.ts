import { type CallOptions, createContextValues } from "@connectrpc/connect";
import { monotonicFactory } from "ulid";
import { type Principal, type RequestContext, requestContextKey } from "./context.ts";

/** Ids of one millisecond count up, so that they sort as they were made; it also draws randomness once a millisecond. */
const ulid = monotonicFactory();

/** A fresh id: prefix, underscore, ULID in lower-case-safe Crockford base32. `newId("scan")` → `scan_01J…`. */
export function newId(prefix: string): string {
  return `${prefix}_${ulid()}`;
}

/** Waymark itself acting in a workspace: redirects, start-up, background work. */
export function internalPrincipal(workspace: string): Principal {
  return { workspace, keyId: "internal", keyName: "Waymark", keyClass: "internal", scopes: ["admin"], test: false };
}

/** The request context of work that Waymark does by itself in a workspace. */
export function internalContext(
  workspace: string,
  given: Partial<Pick<RequestContext, "requestId" | "ip" | "userAgent" | "seed">> = {},
): RequestContext {
  return {
    principal: internalPrincipal(workspace),
    requestId: given.requestId ?? newId("req"),
    ip: given.ip ?? "",
    userAgent: given.userAgent ?? "",
    ...(given.seed !== undefined && { seed: given.seed }),
    now: Date.now,
    newId,
  };
}

/** Call options that make a call in the name of `context`. */
export function as(context: RequestContext): CallOptions {
  return { contextValues: createContextValues().set(requestContextKey, context) };
}
