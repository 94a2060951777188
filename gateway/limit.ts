import { hash, randomBytes } from "node:crypto";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import type { RateLimits } from "#runtime/config.ts";
import type { Principal } from "#runtime/context.ts";
import type { Gossip } from "#runtime/gossip.ts";
import { networkOf } from "./address.ts";
import { heard, openTeller } from "./tally-gossip.ts";

interface Quota {
  count: number;
  seconds: number;
}

/** Limits of methods that name a class, whoever calls. "public" and "stranger" count callers without a known key. */
const BY_METHOD: Readonly<Record<string, Quota>> = {
  query: { count: 600, seconds: 60 },
  intake: { count: 1_000_000, seconds: 60 },
  scan: { count: 30, seconds: 60 },
  emergency: { count: 5, seconds: 60 },
  contact: { count: 5, seconds: 60 },
  public: { count: 300, seconds: 60 },
  stranger: { count: 60, seconds: 60 },
};

/** Limits of all other calls, by the class of the key. */
const BY_KEY: Readonly<Record<string, Quota>> = { development: { count: 600, seconds: 60 } };
const OTHERS: Quota = { count: 6_000, seconds: 60 };

/** Addresses are spread over so many counters, so that a flood of addresses cannot fill the memory. */
const ADDRESS_BUCKETS = 1 << 17;

/** How one call stands with the limit that counted it. */
export interface Standing {
  allowed: boolean;
  /** Class of the limit: "query". */
  name: string;
  /** Calls in a window. */
  limit: number;
  /** Length of the window in seconds. */
  seconds: number;
  remaining: number;
  /** Milliseconds until the window ends. */
  resetMs: number;
}

/** Who and what is to be counted: by key when there is one, else by address. */
export interface Call {
  rateClass: string;
  principal: Pick<Principal, "keyId" | "keyClass">;
  ip: string;
}

/** Counts calls in fixed windows, in memory. */
export interface Limiter {
  /** Counts a call. Undefined when limits are off. */
  take: (call: Call) => Promise<Standing | undefined>;
  /** Counts an unknown key from an address. */
  blame: (ip: string) => Promise<void>;
  /** The standing of an address that has sent too many unknown keys; undefined when it has not. */
  blamed: (ip: string) => Promise<Standing | undefined>;
  /** Listens to other gateways no longer. */
  close: () => void;
}

/** The other gateways, and a key that all of them have: counters are called the same everywhere, and nobody else can tell whose they are. */
export interface Company {
  gossip: Gossip;
  key: Buffer;
}

const NONE: Limiter = {
  take: async () => undefined,
  blame: async () => undefined,
  blamed: async () => undefined,
  close: () => undefined,
};

/**
 * Opens the counters of all classes. In company each call is told to the other gateways at the end of the turn, and theirs
 * count here, so that a limit holds over all of them up to what is on its way; a gateway that hears nothing limits by itself.
 */
export function openLimiter(limits: RateLimits, company?: Company): Limiter {
  if (limits === "off") return NONE;
  const windows = new Map<string, Window>();
  const windowOf = (name: string): Window => {
    const known = windows.get(name) ?? openWindow(name, quotaOf(name, limits));
    windows.set(name, known);
    return known;
  };
  const { addressKey, callerKey } = namesOf(company?.key);
  const tell = company === undefined ? undefined : openTeller(company.gossip);
  const count = async (name: string, key: string): Promise<Standing> => {
    const standing = await windowOf(name).take(key);
    if (standing.allowed) tell?.({ name, key, leftMs: standing.resetMs });
    return standing;
  };
  const hear = (payload: Uint8Array): void => {
    for (const { name, key, calls, leftMs } of heard(payload)) void windowOf(name).add(key, { calls, leftMs });
  };
  return {
    take: ({ rateClass, principal, ip }) => {
      const keyed = principal.keyClass !== "anonymous";
      return count(classOf(rateClass, principal), keyed ? callerKey(principal.keyId) : addressKey(ip));
    },
    blame: async (ip) => void (await count("stranger", addressKey(ip))),
    blamed: (ip) => windowOf("stranger").exhausted(addressKey(ip)),
    close: company?.gossip.hear("limits", hear) ?? NONE.close,
  };
}

/** What counters are called. Alone, a key's is its id; in company both are hashes that all gateways make alike. */
function namesOf(key: Buffer | undefined): Record<"addressKey" | "callerKey", (of: string) => string> {
  const seed = (key ?? randomBytes(4)).readUInt32LE();
  const salt = key?.toString("hex");
  return {
    addressKey: (ip) => String(bucketOf(networkOf(ip), seed)),
    callerKey: (id) => (salt === undefined ? id : hash("sha256", `${salt}${id}`, "hex").slice(0, 16)),
  };
}

/** Headers that tell a caller how it stands: the X-RateLimit trio and draft-ietf-httpapi-ratelimit-headers-10. */
export function rateHeaders(standing: Standing, now: number): Record<string, string> {
  const { allowed, name, limit, seconds, remaining, resetMs } = standing;
  const resetSeconds = Math.max(1, Math.ceil(resetMs / 1000));
  return {
    "x-ratelimit-limit": String(limit),
    "x-ratelimit-remaining": String(remaining),
    "x-ratelimit-reset": String(Math.ceil((now + resetMs) / 1000)),
    "ratelimit-policy": `"${name}";q=${limit};w=${seconds}`,
    ratelimit: `"${name}";r=${remaining};t=${resetSeconds}`,
    ...(!allowed && { "retry-after": String(resetSeconds) }),
  };
}

function classOf(rateClass: string, principal: Call["principal"]): string {
  if (rateClass !== "" && rateClass !== "default") return rateClass;
  return principal.keyClass === "anonymous" ? "public" : principal.keyClass;
}

/** A setting for "default" stands for all classes of keys that have none of their own. */
function quotaOf(name: string, limits: Exclude<RateLimits, "off">): Quota {
  const byMethod = BY_METHOD[name];
  if (byMethod !== undefined) return limits[name] ?? byMethod;
  return limits[name] ?? limits.default ?? BY_KEY[name] ?? OTHERS;
}

interface Window {
  take: (key: string) => Promise<Standing>;
  /** Adds what another gateway has counted; a window that is not open here yet ends when it ends there. */
  add: (key: string, told: { calls: number; leftMs: number }) => Promise<void>;
  exhausted: (key: string) => Promise<Standing | undefined>;
}

function openWindow(name: string, { count, seconds }: Quota): Window {
  const counter = new RateLimiterMemory({ points: count, duration: seconds });
  const standing = (result: RateLimiterRes, allowed: boolean): Standing => ({
    allowed,
    name,
    limit: count,
    seconds,
    remaining: Math.max(0, count - result.consumedPoints),
    resetMs: Math.max(0, result.msBeforeNext),
  });
  return {
    take: (key) =>
      counter.consume(key).then(
        (result) => standing(result, true),
        (refused: unknown) => {
          if (refused instanceof RateLimiterRes) return standing(refused, false);
          throw refused;
        },
      ),
    add: async (key, { calls, leftMs }) => {
      if (leftMs === 0 || leftMs > seconds * 1000) return;
      await counter.penalty(key, calls, { customDuration: leftMs / 1000 });
    },
    exhausted: async (key) => {
      const result = await counter.get(key);
      return result !== null && result.consumedPoints >= count ? standing(result, false) : undefined;
    },
  };
}

/** FNV-1a with a secret seed, so that nobody can choose an address that shares a counter with another. */
function bucketOf(text: string, seed: number): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) % ADDRESS_BUCKETS;
}
