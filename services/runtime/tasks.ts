import { setTimeout as delay } from "node:timers/promises";
import type { Doc } from "./model.ts";
import type { Collection } from "./store.ts";

/** How long a task is held without a word of its owner, milliseconds. */
export const LEASE_MS = 10_000;

/** How often that word is given. */
const BEAT_MS = 2_500;

/** A task that one process at a time works on. */
export interface LeasedTask extends Doc {
  /** The process that works on it, and until when nobody else may, milliseconds since 1970. */
  owner?: string;
  leaseUntil: number;
}

/**
 * Says now and then that the owner of a task is alive, until `end` is aborted; aborts it itself when the task is gone or
 * another's. A store that does not answer is no reason to give up.
 */
export async function holdTask(
  tasks: Pick<Collection<LeasedTask>, "update">,
  { task, owner, now, end }: { task: LeasedTask; owner: string; now: () => number; end: AbortController },
): Promise<void> {
  while (!end.signal.aborted) {
    await delay(BEAT_MS, undefined, { signal: end.signal }).catch(() => undefined);
    if (end.signal.aborted) return;
    const change = { set: { leaseUntil: now() + LEASE_MS } };
    const held = await tasks.update(task.id, change, { where: { owner } }).catch(() => task);
    if (held === undefined) end.abort();
  }
}
