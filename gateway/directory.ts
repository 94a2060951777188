import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { LRUCache } from "lru-cache";
import type { DirectoryService, Target } from "#gen/waymark/codes/v1/directory_pb.ts";
import type { ObjectChanged } from "#gen/waymark/events/v1/touches_pb.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { as, internalContext } from "#runtime/internal.ts";

/** How long a target is believed. Changes are told at once through `codes.changed`; this is for those that got lost. */
const FRESH_MS = 60_000;
/** The same for codes whose routing looks at the number of scans. */
const COUNTED_FRESH_MS = 1_000;
/** How long a short id that no code has is not asked for again. */
const UNKNOWN_MS = 5_000;
/** How long a stale target is served before `codes` is asked again, while it is down. */
const RETRY_MS = 1_000;
const DEADLINE_MS = 2_000;
/** Longer short ids were never printed. */
const MAX_SHORT_ID = 64;

interface Entry {
  /** Undefined: no code has this short id. */
  target: Target | undefined;
  freshUntil: number;
}

/** Printed short ids and where they lead. */
export interface Directory {
  /** The target of a short id; undefined when no code ever had it. Throws only when it is not known and cannot be asked. */
  resolve: (shortId: string) => Target | undefined | Promise<Target | undefined>;
  /** Asks again for what has changed. For entries of `codes.changed`, whose aliases are short ids. */
  invalidate: (change: Pick<ObjectChanged, "objectId" | "aliases">) => void;
}

/** Opens a bounded cache in front of `codes`. While `codes` is down it goes on with what it knew. */
export function openDirectory(codes: Client<typeof DirectoryService>, now: () => number): Directory {
  const known = new LRUCache<string, Entry>({ max: 50_000 });
  const unknown = new LRUCache<string, Entry>({ max: 10_000 });
  const asking = new Map<string, Promise<Target | undefined>>();
  let generation = 0;

  const ask = async (shortId: string): Promise<Target | undefined> => {
    const asked = generation;
    try {
      const options = { ...as(internalContext(SYSTEM_WORKSPACE)), timeoutMs: DEADLINE_MS };
      const { target } = await codes.resolveShortId({ shortId }, options);
      if (target !== undefined)
        known.set(shortId, { target, freshUntil: asked === generation ? now() + lifeOf(target) : 0 });
      return target;
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.NotFound) {
        known.delete(shortId);
        if (asked === generation) unknown.set(shortId, { target: undefined, freshUntil: now() + UNKNOWN_MS });
        return undefined;
      }
      const stale = known.get(shortId);
      if (stale === undefined) throw error;
      stale.freshUntil = now() + RETRY_MS;
      return stale.target;
    }
  };
  const resolve: Directory["resolve"] = (shortId) => {
    if (shortId.length > MAX_SHORT_ID) return undefined;
    const entry = known.get(shortId) ?? unknown.get(shortId);
    if (entry !== undefined && now() < entry.freshUntil) return entry.target;
    const pending = asking.get(shortId);
    if (pending !== undefined) return pending;
    const asked = ask(shortId).finally(() => {
      if (asking.get(shortId) === asked) asking.delete(shortId);
    });
    asking.set(shortId, asked);
    return asked;
  };
  return {
    resolve,
    invalidate: ({ aliases }) => {
      generation += 1;
      for (const shortId of aliases) {
        unknown.delete(shortId);
        asking.delete(shortId);
        const entry = known.get(shortId);
        if (entry !== undefined) entry.freshUntil = 0;
      }
    },
  };
}

function lifeOf(target: Target): number {
  const counted = target.routing?.rules.some((rule) => rule.when?.scansBelow !== undefined);
  return counted ? COUNTED_FRESH_MS : FRESH_MS;
}
