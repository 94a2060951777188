import { LRUCache } from "lru-cache";
import type { Store } from "#runtime/store.ts";
import { scansProjection } from "./project.ts";

/** The longest that a reader waits for its own writes, and how long nobody waits after that was not enough. */
const PATIENCE_MS = 250;
const IMPATIENCE_MS = 5_000;
const POLL_MS = 2;

/** Up to where this process has written for each workspace, so that a caller reads what it wrote. */
export interface Written {
  /** Notes that something of the workspace stands on the log up to this position. */
  note: (workspace: string, position: number) => void;
  /**
   * Resolves when what was noted for the workspace is in the documents. Waits a quarter of a second at the most, and not
   * at all while counting is behind: readers then get what there is, and `explain` tells them so.
   */
  settled: (workspace: string) => Promise<void>;
}

/** Remembers the workspaces that were written to lately. */
export function openWritten({ store, now }: { store: Store; now: () => number }): Written {
  const positions = new LRUCache<string, number>({ max: 10_000 });
  let impatientUntil = 0;
  return {
    note: (workspace, position) => positions.set(workspace, Math.max(position, positions.get(workspace) ?? 0)),
    settled: async (workspace) => {
      const position = positions.get(workspace);
      if (position === undefined || now() < impatientUntil) return;
      const until = performance.now() + PATIENCE_MS;
      while ((await store.watermark(scansProjection.name)) < position) {
        if (performance.now() > until) {
          impatientUntil = now() + IMPATIENCE_MS;
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      if (positions.get(workspace) === position) positions.delete(workspace);
    },
  };
}
