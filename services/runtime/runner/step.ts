import { setImmediate as nextTurn } from "node:timers/promises";
import type { LogEntry } from "../log.ts";

/** Entries of a step at most. */
export const STEP_ENTRIES = 512;

/** Bounds of a step: how long it is to take, and the bytes that it is sized by. */
interface Bounds {
  targetMs: number;
  firstBytes: number;
  leastBytes: number;
  mostBytes: number;
  apartMs: number;
}

/** A step in one transaction holds the thread of the store's writes, and the writes of requests are to get in between. */
const ATOMIC: Bounds = {
  targetMs: 80,
  firstBytes: 128 * 1024,
  leastBytes: 16 * 1024,
  mostBytes: 4 * 1024 * 1024,
  apartMs: 0,
};
/**
 * Without transactions a step holds up nobody, and waits for the store most of the time: it may be longer, so that there are
 * fewer of them, as long as people see within a second what they did. Half a mebibyte is some 2,000 touches.
 */
const BEGUN: Bounds = {
  targetMs: 200,
  firstBytes: 128 * 1024,
  leastBytes: 16 * 1024,
  mostBytes: 512 * 1024,
  apartMs: 50,
};

/** Decides how much of the log goes into one step, by how long earlier steps took. */
export interface Pace {
  /** How many of these entries, at least one, make the next step. */
  next: (entries: readonly LogEntry[]) => number;
  /** Learns from a step that is done. */
  took: (entries: readonly LogEntry[], ms: number) => void;
  /** What the log gives is taken up so far apart, so that a steady trickle makes few steps: each costs the store some ten calls. */
  readonly apartMs: number;
}

/** A pace that aims at steps of some 80 ms where a step is one transaction, and of some 200 ms where it is not. */
export function paceOf({ atomic }: { atomic: boolean }): Pace {
  const { targetMs, firstBytes, leastBytes, mostBytes, apartMs } = atomic ? ATOMIC : BEGUN;
  let budgetBytes = firstBytes;
  return {
    apartMs,
    next: (entries) => {
      let sizeBytes = 0;
      const over = entries.findIndex(({ payload }, index) => {
        sizeBytes += payload.byteLength;
        return index > 0 && (sizeBytes > budgetBytes || index >= STEP_ENTRIES);
      });
      return over === -1 ? entries.length : over;
    },
    took: (entries, ms) => {
      const sizeBytes = entries.reduce((sum, { payload }) => sum + payload.byteLength, 0);
      const factor = Math.min(2, Math.max(0.5, targetMs / Math.max(ms, 1)));
      if (factor > 1 && sizeBytes < budgetBytes / 2) return; // a small step tells nothing about a large one
      budgetBytes = Math.min(mostBytes, Math.max(leastBytes, budgetBytes * factor));
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
