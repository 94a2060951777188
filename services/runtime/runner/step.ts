import { setImmediate as nextTurn } from "node:timers/promises";
import type { LogEntry } from "../log.ts";

/** Entries of a step at most. */
export const STEP_ENTRIES = 512;

const TARGET_MS = 80;
const LEAST_BYTES = 16 * 1024;
const MOST_BYTES = 4 * 1024 * 1024;

/** Decides how much of the log goes into one step, by how long earlier steps took. */
export interface Pace {
  /** How many of these entries, at least one, make the next step. */
  next: (entries: readonly LogEntry[]) => number;
  /** Learns from a step that is done. */
  took: (entries: readonly LogEntry[], ms: number) => void;
}

/**
 * A pace that aims at steps of some 80 ms: a step holds the thread of the store's writes, and the writes of requests are to
 * get in between. Starts with about a thousand touches a step.
 */
export function paceOf({ single }: { single: boolean }): Pace {
  let budgetBytes = 128 * 1024;
  return {
    next: (entries) => {
      if (single) return 1;
      let sizeBytes = 0;
      const over = entries.findIndex(({ payload }, index) => {
        sizeBytes += payload.byteLength;
        return index > 0 && (sizeBytes > budgetBytes || index >= STEP_ENTRIES);
      });
      return over === -1 ? entries.length : over;
    },
    took: (entries, ms) => {
      const sizeBytes = entries.reduce((sum, { payload }) => sum + payload.byteLength, 0);
      const factor = Math.min(2, Math.max(0.5, TARGET_MS / Math.max(ms, 1)));
      if (factor > 1 && sizeBytes < budgetBytes / 2) return; // a small step tells nothing about a large one
      budgetBytes = Math.min(MOST_BYTES, Math.max(LEAST_BYTES, budgetBytes * factor));
    },
  };
}

/**
 * Runs steps one after another, first come first served, with a turn of the event loop between two: the store has never more
 * than one step to do, and the write of a request waits for that one alone, however many projections there are.
 */
export function oneByOne(): <R>(step: () => Promise<R>) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve();
  return (step) => {
    const result = last.then(step);
    last = result.then(
      () => nextTurn(),
      () => nextTurn(),
    );
    return result;
  };
}
