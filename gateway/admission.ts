import type { IncomingHttpHeaders } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import { Audience, type MethodRules } from "#gen/waymark/options/v1/options_pb.ts";
import type { Principal, RequestContext } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import { newId } from "#runtime/internal.ts";
import { ANONYMOUS, type Authenticator, keyOf, type Presented, requireScope } from "./authenticate.ts";
import { allowEveryOrigin, allowOrigin } from "./cors.ts";
import type { Exchange } from "./exchange.ts";
import { type Limiter, rateHeaders, type Standing } from "./limit.ts";

/** What a method asks of its callers. */
export type Entry = Pick<MethodRules, "audience" | "scopes" | "rateClass">;

/** What needs no key and is limited by address alone. */
export const PUBLIC: Entry = { audience: Audience.ANYONE, scopes: [], rateClass: "" };

/** Lets callers in. */
export interface Admission {
  /**
   * Who calls, counted and allowed to. Puts the headers of the limit and of CORS on the exchange, whatever comes of it.
   * Throws UNAUTHENTICATED, RATE_LIMITED or PERMISSION_DENIED, in this order.
   */
  admit: (exchange: Exchange, entry: Entry) => Promise<RequestContext>;
}

/** Opens the door. */
export function openAdmission(options: {
  authenticator: Authenticator;
  limiter: Limiter;
  now: () => number;
}): Admission {
  const { authenticator, limiter, now } = options;
  const identify = async (exchange: Exchange): Promise<Principal> => {
    const presented = presentedBy(exchange);
    const principal = authenticator.recall(presented) ?? (await askAuthority(exchange, presented));
    if (principal.keyClass === "publishable") allowOrigin(exchange.headers, presented.origin);
    return principal;
  };
  const askAuthority = async (exchange: Exchange, presented: Presented): Promise<Principal> => {
    check(exchange, await limiter.blamed(exchange.ip), now());
    try {
      return await authenticator.resolve(presented);
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Unauthenticated) await limiter.blame(exchange.ip);
      throw error;
    }
  };
  return {
    async admit(exchange, entry) {
      const isPublic = entry.audience === Audience.ANYONE;
      if (isPublic) allowEveryOrigin(exchange.headers);
      const principal = isPublic ? ANONYMOUS : await identify(exchange);
      const standing = await limiter.take({ rateClass: entry.rateClass, principal, ip: exchange.ip });
      check(exchange, standing, now());
      if (!isPublic) requireScope(principal, entry);
      return contextFor(exchange, principal, now);
    },
  };
}

function presentedBy({ request, ip }: Exchange): Presented {
  const headers: IncomingHttpHeaders = request.raw.headers;
  const key = keyOf(headers);
  if (key === undefined) throw fail("UNAUTHENTICATED");
  return { key, ip, origin: headers.origin ?? "" };
}

/** Puts the limit's headers on the exchange and throws when it is used up. */
function check(exchange: Exchange, standing: Standing | undefined, now: number): void {
  if (standing === undefined) return;
  Object.assign(exchange.headers, rateHeaders(standing, now));
  if (!standing.allowed) throw fail("RATE_LIMITED", { seconds: Math.max(1, Math.ceil(standing.resetMs / 1000)) });
}

function contextFor(exchange: Exchange, principal: Principal, now: () => number): RequestContext {
  return {
    principal,
    requestId: exchange.requestId,
    ip: exchange.ip,
    userAgent: exchange.request.raw.headers["user-agent"] ?? "",
    method: exchange.request.raw.method ?? "",
    seed: newId("call"),
    now,
    newId,
  };
}
