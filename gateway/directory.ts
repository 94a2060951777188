import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { LRUCache } from "lru-cache";
import type { DirectoryService, Target } from "#gen/waymark/codes/v1/directory_pb.ts";
import type { ObjectChanged } from "#gen/waymark/events/v1/touches_pb.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { as, internalContext } from "#runtime/internal.ts";

/** How long a target is believed while every change is told at once, through `codes.changed`. */
const TOLD_MS = 600_000;
/** How long it is believed while changes are not told, and always for codes whose routing looks at the number of scans. */
const UNTOLD_MS = 1_000;
/** How long a short id that no code has is not asked for again, while changes are told. */
const UNKNOWN_MS = 5_000;
/** The longest that a redirect of a known code waits for `codes`. */
const PATIENCE_MS = 150;
/** How long known codes are not asked for again after `codes` did not answer. */
const REST_MS = 1_000;
const DEADLINE_MS = 2_000;
/** Longer short ids were never printed. */
const MAX_SHORT_ID = 64;

interface Entry {
  /** Undefined: no code has this short id. */
  target: Target | undefined;
  askedAt: number;
  /** It has changed since, as we were told. */
  isDoubted: boolean;
}

/** Printed short ids and where they lead. */
export interface Directory {
  /** The target of a short id; undefined when no code ever had it. Throws only when it is not known and cannot be asked. */
  resolve: (shortId: string) => Target | undefined | Promise<Target | undefined>;
  /** Asks again for what has changed. For entries of `codes.changed`, whose aliases are short ids. */
  invalidate: (change: Pick<ObjectChanged, "objectId" | "aliases">) => void;
  /** Asks again for everything: changes may have been missed. */
  invalidateAll: () => void;
  /** Whether `codes` answered when it was last asked. */
  answers: () => boolean;
}

/** What a directory stands on. */
export interface DirectoryOptions {
  codes: Client<typeof DirectoryService>;
  now: () => number;
  /** Whether every change is told at once. Without it they are. */
  newsAreFresh?: (() => boolean) | undefined;
}

/**
 * Opens a bounded cache in front of `codes`. A change is served within a second or two, told or not; while `codes` does
 * not answer, a known code goes on as it was known, and no redirect waits for it.
 */
export function openDirectory({ codes, now, newsAreFresh = () => true }: DirectoryOptions): Directory {
  const known = new LRUCache<string, Entry>({ max: 50_000 });
  const unknown = new LRUCache<string, Entry>({ max: 10_000 });
  const asking = new Map<string, Promise<Target | undefined>>();
  let generation = 0;
  let allDoubtedAt = Number.NEGATIVE_INFINITY;
  let restsUntil = Number.NEGATIVE_INFINITY;

  const isBelieved = ({ target, askedAt, isDoubted }: Entry): boolean => {
    if (isDoubted || askedAt <= allDoubtedAt) return false;
    return now() - askedAt < (newsAreFresh() ? lifeOf(target) : UNTOLD_MS);
  };
  const call = async (shortId: string): Promise<Target | undefined> => {
    const options = { ...as(internalContext(SYSTEM_WORKSPACE)), timeoutMs: DEADLINE_MS };
    try {
      return (await codes.resolveShortId({ shortId }, options)).target;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
      restsUntil = now() + REST_MS;
      throw error;
    }
  };
  const ask = async (shortId: string): Promise<Target | undefined> => {
    const begun = generation;
    const askedAt = now();
    const target = await call(shortId);
    restsUntil = Number.NEGATIVE_INFINITY;
    if (target === undefined) known.delete(shortId);
    (target === undefined ? unknown : known).set(shortId, { target, askedAt, isDoubted: begun !== generation });
    return target;
  };
  const askOnce = (shortId: string): Promise<Target | undefined> => {
    const pending = asking.get(shortId);
    if (pending !== undefined) return pending;
    const asked = ask(shortId).finally(() => {
      if (asking.get(shortId) === asked) asking.delete(shortId);
    });
    asking.set(shortId, asked);
    return asked;
  };
  /** The newer target when it comes in time, else the one that is known. */
  const refresh = async (shortId: string, stale: Target): Promise<Target | undefined> => {
    const { promise, resolve } = Promise.withResolvers<Target>();
    const timer = setTimeout(() => {
      restsUntil = now() + REST_MS;
      resolve(stale);
    }, PATIENCE_MS);
    return Promise.race([askOnce(shortId).catch(() => stale), promise]).finally(() => clearTimeout(timer));
  };
  return {
    resolve: (shortId) => {
      if (shortId.length > MAX_SHORT_ID) return undefined;
      const entry = known.get(shortId) ?? unknown.get(shortId);
      if (entry !== undefined && isBelieved(entry)) return entry.target;
      if (entry?.target === undefined) return askOnce(shortId);
      return now() < restsUntil ? entry.target : refresh(shortId, entry.target);
    },
    invalidate: ({ aliases }) => {
      generation += 1;
      for (const shortId of aliases) {
        unknown.delete(shortId);
        asking.delete(shortId);
        const entry = known.get(shortId);
        if (entry !== undefined) entry.isDoubted = true;
      }
    },
    invalidateAll: () => {
      generation += 1;
      allDoubtedAt = now();
      asking.clear();
    },
    answers: () => now() >= restsUntil,
  };
}

function lifeOf(target: Target | undefined): number {
  if (target === undefined) return UNKNOWN_MS;
  const counted = target.routing?.rules.some((rule) => rule.when?.scansBelow !== undefined);
  return counted ? UNTOLD_MS : TOLD_MS;
}
