import { setTimeout as delay } from "node:timers/promises";
import { endOf } from "./deadline.ts";
import { isAway } from "./status.ts";

/** How long a call waits for a server that is away, from when it noticed: a restart takes about half of it. */
const PATIENCE_MS = 4_000;

/** Between attempts; a moment more or less, so that those who wait do not come all at once. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/** The most calls that wait at once; one more fails at once. */
const MOST_WAITING = 1_000;

/** Repeats what may be repeated. */
export type Patience = <T>(attempt: () => Promise<T>, within: { deadline: number; signal: AbortSignal }) => Promise<T>;

/**
 * Makes the attempts of calls that may be repeated: again while no server answers, for some seconds and within the deadline.
 * What a server answered is never asked again, however it refused: one that has too much to do must not get more.
 */
export function openPatience(): Patience {
  let waiting = 0;
  return async (attempt, { deadline, signal }) => {
    let until = Number.POSITIVE_INFINITY;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return await attempt();
      } catch (error) {
        if (!isAway(error) || waiting >= MOST_WAITING) throw error;
        const now = Date.now();
        until = Math.min(until, now + PATIENCE_MS, deadline);
        const thisPauseMs = pauseMs * (0.8 + 0.4 * Math.random());
        if (now + thisPauseMs >= until) throw error;
        waiting += 1;
        await pause(thisPauseMs, signal).finally(() => {
          waiting -= 1;
        });
      }
    }
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch {
    throw endOf(signal);
  }
}
