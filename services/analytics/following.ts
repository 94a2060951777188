import { setTimeout as delay } from "node:timers/promises";
import type { HandlerContext } from "@connectrpc/connect";
import { LRUCache } from "lru-cache";
import { contextOf } from "#runtime/context.ts";
import { positionAfter } from "#runtime/positions.ts";
import type { Duck } from "./engine/duck.ts";
import { readWatermark } from "./feed/watermark.ts";

/** The longest that a reader waits for what its workspace wrote, and how long nobody of it waits after that was not enough. */
const PATIENCE_MS = 250;
const IMPATIENCE_MS = 5_000;

const AGAIN_MS = 10;

/** Lets callers read what they wrote. */
export interface Following {
  /**
   * Resolves when the table has all up to where the caller says that its workspace has written. Waits a quarter of a second
   * at the most, and for a while not at all after that was too short: `explain` says how far behind an answer is.
   */
  settled: (handler: HandlerContext, duck: Duck) => Promise<void>;
}

/** Remembers how far tables are known to be, and which workspaces have waited in vain. */
export function openFollowing(): Following {
  const reached = new WeakMap<Duck, number>();
  const inVain = new LRUCache<string, true>({ max: 10_000, ttl: IMPATIENCE_MS });
  const isReached = async (duck: Duck, position: number): Promise<boolean> => {
    if ((reached.get(duck) ?? 0) >= position) return true;
    const mark = await readWatermark(duck);
    // A file that was made again is behind what it was known to have: only one that is complete is remembered.
    if (mark.complete) reached.set(duck, mark.position);
    return mark.position >= position;
  };
  return {
    settled: async (handler, duck) => {
      const position = positionAfter(handler.requestHeader);
      const { workspace } = contextOf(handler).principal;
      if (position === 0 || inVain.has(workspace)) return;
      const end = performance.now() + PATIENCE_MS;
      while (!(await isReached(duck, position))) {
        if (performance.now() > end) {
          inVain.set(workspace, true);
          return;
        }
        await delay(AGAIN_MS, undefined, { signal: handler.signal });
      }
    },
  };
}
