import { hash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { LRUCache } from "lru-cache";
import type { AuthenticateResponse, AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import type { ObjectChanged } from "#gen/waymark/events/v1/touches_pb.ts";
import type { MethodRules } from "#gen/waymark/options/v1/options_pb.ts";
import { type KeyClass, type Principal, SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import { as, internalContext } from "#runtime/internal.ts";

/** The longest that a known key is believed without asking again, while every change is told at once, through `keys.changed`. */
const KNOWN_TTL_MS = 30_000;
/** The longest that a refused key is refused without asking again. */
const REFUSED_TTL_MS = 5_000;
/** The longest that either is believed while changes are not told: a revoked key ends within two seconds all the same. */
const UNTOLD_TTL_MS = 1_000;
const DEADLINE_MS = 5_000;
/** Characters of a SHA-256 in hex. */
const HASH_LENGTH = 64;

/** What a key comes with. */
export interface Presented {
  key: string;
  /** Address of the caller, as far as proxies are trusted. */
  ip: string;
  /** Origin header of a browser; empty when absent. */
  origin: string;
}

/** Turns keys into principals. It keeps SHA-256 hashes of keys (the aliases of `keys.changed`), never the keys. */
export interface Authenticator {
  /** The principal of a key that was seen lately; undefined: `resolve` has to ask. Throws when it was refused lately. */
  recall: (presented: Presented) => Principal | undefined;
  /** The principal of a key. Throws UNAUTHENTICATED for an unknown one, PERMISSION_DENIED for one that may not be used. */
  resolve: (presented: Presented) => Promise<Principal>;
  /** Forgets a key that has changed. For entries of `keys.changed`. */
  invalidate: (change: Pick<ObjectChanged, "objectId" | "aliases">) => void;
  /** Forgets all keys: changes may have been missed. */
  invalidateAll: () => void;
}

/** A caller without a key. */
export const ANONYMOUS: Principal = {
  workspace: "",
  keyId: "",
  keyName: "",
  keyClass: "anonymous",
  scopes: [],
  test: false,
};

/** The key of a request, from any of the three headers; undefined when it has none. */
export function keyOf(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1];
  const key = bearer ?? headers["x-api-key"] ?? headers["x-distinct-api-key"];
  return (Array.isArray(key) ? key[0] : key) || undefined;
}

/** Throws PERMISSION_DENIED when a principal has none of the scopes of a method. `admin` passes all. */
export function requireScope(principal: Principal, rules: Pick<MethodRules, "scopes">): void {
  const { scopes } = principal;
  if (rules.scopes.some((scope) => scopes.includes(scope)) || scopes.includes("admin")) return;
  throw fail("PERMISSION_DENIED", { scope: rules.scopes.join(" or ") || "admin" });
}

/** What an authenticator stands on. */
export interface AuthenticatorOptions {
  authority: Client<typeof AuthorityService>;
  now: () => number;
  /** Whether every change is told at once. Without it they are. */
  newsAreFresh?: (() => boolean) | undefined;
}

/** Something that the authority said, and when it was asked. */
interface Said<T> {
  what: T;
  askedAt: number;
}

/** Opens the cache in front of the authority. What it can no longer ask for it does not know: nothing is served stale. */
export function openAuthenticator({ authority, now, newsAreFresh = () => true }: AuthenticatorOptions): Authenticator {
  const known = new LRUCache<string, Said<Principal>>({ max: 20_000, perf: { now }, ttlResolution: 0 });
  const refused = new LRUCache<string, Said<ConnectError>>({ max: 10_000, perf: { now }, ttlResolution: 0 });
  const asking = new Map<string, Promise<Principal>>();
  let generation = 0;

  const believed = <T>(said: Said<T> | undefined): T | undefined => {
    if (said === undefined) return undefined;
    return newsAreFresh() || now() - said.askedAt < UNTOLD_TTL_MS ? said.what : undefined;
  };
  const ask = async (presented: Presented, names: Names): Promise<Principal> => {
    const asked = generation;
    const askedAt = now();
    try {
      const reply = await call(authority, presented);
      const principal = principalOf(reply);
      const name = reply.boundToCaller ? names.bound : names.free;
      const ttl = Math.min(KNOWN_TTL_MS, reply.validUntil ? timestampMs(reply.validUntil) - now() : KNOWN_TTL_MS);
      if (asked === generation && ttl > 0) known.set(name, { what: principal, askedAt }, { ttl });
      return principal;
    } catch (error) {
      if (isRefusal(error) && asked === generation) {
        known.delete(names.free);
        known.delete(names.bound);
        refused.set(names.bound, { what: error, askedAt }, { ttl: REFUSED_TTL_MS });
      }
      throw error;
    }
  };
  return {
    recall(presented) {
      const names = namesOf(presented);
      const principal = believed(known.get(names.free)) ?? believed(known.get(names.bound));
      if (principal !== undefined) return principal;
      const refusal = believed(refused.get(names.bound));
      if (refusal !== undefined) throw refusal;
      return undefined;
    },
    resolve(presented) {
      const names = namesOf(presented);
      const pending = asking.get(names.bound);
      if (pending !== undefined) return pending;
      const asked = ask(presented, names).finally(() => {
        if (asking.get(names.bound) === asked) asking.delete(names.bound);
      });
      asking.set(names.bound, asked);
      return asked;
    },
    invalidate({ objectId, aliases }) {
      generation += 1;
      asking.clear();
      refused.clear();
      for (const [name, { what }] of known.entries()) {
        if (what.keyId === objectId || aliases.includes(name.slice(0, HASH_LENGTH))) known.delete(name);
      }
    },
    invalidateAll() {
      generation += 1;
      asking.clear();
      refused.clear();
      known.clear();
    },
  };
}

/** An authority that does not answer in time is one that does not answer: the caller may come again. */
async function call(authority: Client<typeof AuthorityService>, presented: Presented): Promise<AuthenticateResponse> {
  try {
    return await authority.authenticate(presented, {
      ...as(internalContext(SYSTEM_WORKSPACE)),
      timeoutMs: DEADLINE_MS,
    });
  } catch (error) {
    if (!(error instanceof ConnectError) || error.code !== Code.DeadlineExceeded) throw error;
    throw new ConnectError("keys cannot be checked now; try again shortly", Code.Unavailable, undefined, [], error);
  }
}

/** The names under which an answer is kept: `free` for every caller with this key, `bound` for this address and origin. */
interface Names {
  free: string;
  bound: string;
}

function namesOf({ key, ip, origin }: Presented): Names {
  const free = hash("sha256", key, "hex");
  return { free, bound: `${free}|${ip}|${origin}` };
}

function isRefusal(error: unknown): error is ConnectError {
  return error instanceof ConnectError && (error.code === Code.Unauthenticated || error.code === Code.PermissionDenied);
}

function principalOf(reply: AuthenticateResponse): Principal {
  return {
    workspace: reply.workspaceId,
    keyId: reply.keyId,
    keyName: reply.keyName,
    keyClass: reply.keyClass as KeyClass,
    scopes: reply.scopes,
    test: reply.test,
  };
}
