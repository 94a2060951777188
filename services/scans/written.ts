import type { HandlerContext } from "@connectrpc/connect";
import { LRUCache } from "lru-cache";
import { contextOf } from "#runtime/context.ts";
import { POSITION_HEADER, positionAfter } from "#runtime/positions.ts";
import type { Store } from "#runtime/store.ts";
import { scansProjection } from "./project.ts";

/** The longest that a reader waits for its own writes, and how long nobody of its workspace waits after that was not enough. */
const PATIENCE_MS = 250;
const IMPATIENCE_MS = 5_000;
const FIRST_POLL_MS = 2;
const LAST_POLL_MS = 16;

/** Up to where each workspace has written, so that a caller reads what it wrote. */
export interface Written {
  /** Notes that something of the caller's workspace stands on the log up to this position, and tells the caller, for other replicas. */
  note: (handler: HandlerContext, position: number) => void;
  /**
   * Resolves when what was noted here for the caller's workspace, or what the caller says was noted elsewhere, is in the
   * documents. Waits a quarter of a second at the most, and not at all while counting is behind: readers then get what
   * there is, and `explain` tells them so.
   */
  settled: (handler: HandlerContext) => Promise<void>;
}

/** Remembers the workspaces that were written to lately. */
export function openWritten({ store, now }: { store: Pick<Store, "watermark">; now: () => number }): Written {
  const positions = new LRUCache<string, number>({ max: 10_000 });
  const impatientUntil = new LRUCache<string, number>({ max: 10_000 });
  const isReached = async (position: number): Promise<boolean> => {
    const until = performance.now() + PATIENCE_MS;
    for (let pollMs = FIRST_POLL_MS; (await store.watermark(scansProjection.name)) < position; ) {
      if (performance.now() > until) return false;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
      pollMs = Math.min(LAST_POLL_MS, pollMs * 2);
    }
    return true;
  };
  return {
    note: (handler, position) => {
      const { workspace } = contextOf(handler).principal;
      positions.set(workspace, Math.max(position, positions.get(workspace) ?? 0));
      handler.responseHeader.set(POSITION_HEADER, String(position));
    },
    settled: async (handler) => {
      const { workspace } = contextOf(handler).principal;
      const own = positions.get(workspace);
      const position = Math.max(own ?? 0, positionAfter(handler.requestHeader));
      if (position === 0 || now() < (impatientUntil.get(workspace) ?? 0)) return;
      if (!(await isReached(position))) impatientUntil.set(workspace, now() + IMPATIENCE_MS);
      else if (own !== undefined && positions.get(workspace) === own) positions.delete(workspace);
    },
  };
}
