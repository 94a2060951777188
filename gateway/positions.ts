import { LRUCache } from "lru-cache";
import { AFTER_HEADER, POSITION_HEADER, WAITING_HEADER } from "#runtime/positions.ts";
import type { Owner } from "./queue/frame.ts";

/** Reads follow writes this closely at the most; later all is counted anyway. */
const TTL_MS = 10_000;

/** Up to where on the log each workspace has written through this gateway lately, so that it reads what it wrote, whichever replica answers. */
export interface Positions {
  /** Notes a position; undefined is none. */
  note: (workspace: string, position: number | undefined) => void;
  /** Request headers that make a service wait for what the caller's workspace wrote, and tell it what of it waits here. */
  headersFor: (caller: Owner) => [string, string][];
}

/** Remembers the workspaces that have written lately. `waiting`: how many touches of a caller wait on this gateway's disk. */
export function openPositions(waiting: (owner: Owner) => number): Positions {
  const newest = new LRUCache<string, number>({ max: 10_000, ttl: TTL_MS });
  return {
    note: (workspace, position) => {
      if (position === undefined || workspace === "") return;
      newest.set(workspace, Math.max(position, newest.get(workspace) ?? 0));
    },
    headersFor: (caller) => {
      const headers: [string, string][] = [];
      const position = newest.get(caller.workspace);
      if (position !== undefined) headers.push([AFTER_HEADER, String(position)]);
      const touches = waiting(caller);
      if (touches > 0) headers.push([WAITING_HEADER, String(touches)]);
      return headers;
    },
  };
}

/** The position that a reply says it has written to. */
export function positionIn(headers: Headers): number | undefined {
  const position = Number(headers.get(POSITION_HEADER) ?? Number.NaN);
  return Number.isSafeInteger(position) && position > 0 ? position : undefined;
}
