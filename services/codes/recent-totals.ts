import { LRUCache } from "lru-cache";
import type { RequestContext } from "#runtime/context.ts";
import { as, internalPrincipal } from "#runtime/internal.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { countScans } from "./calls.ts";

/** How long a total is believed. The gateway keeps it for another second. */
const FRESH_MS = 1_000;
const DEADLINE_MS = 500;

/** Scans of codes whose routing looks at them. */
export interface RecentTotals {
  /**
   * Scans of a code of any workspace, up to a second old. While they cannot be counted: the last that are known, else 0,
   * because a redirect must not wait for counting.
   */
  of: (code: { workspace: string; codeId: string; test: boolean }, context: RequestContext) => Promise<bigint>;
}

/** Opens a bounded cache in front of counting. */
export function openRecentTotals(deps: Pick<ServiceDeps, "client">): RecentTotals {
  const known = new LRUCache<string, { total: bigint; at: number }>({ max: 10_000 });
  return {
    async of({ workspace, codeId, test }, context) {
      const key = `${workspace}/${codeId}`;
      const last = known.get(key);
      if (last !== undefined && context.now() - last.at < FRESH_MS) return last.total;
      const principal = { ...internalPrincipal(workspace), test };
      try {
        const options = { ...as({ ...context, principal }), timeoutMs: DEADLINE_MS };
        const [total = 0n] = await countScans(deps, [codeId], options);
        known.set(key, { total, at: context.now() });
        return total;
      } catch {
        return last?.total ?? 0n;
      }
    },
  };
}
