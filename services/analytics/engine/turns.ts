import { fail } from "../reasons.ts";

/** Things that are used by one at a time: connections. */
export interface Turns<T> {
  /** Waits for a free one, first come, first served. Throws BUSY when too many wait, and the reason of an aborted signal. */
  take: <R>(use: (thing: T) => Promise<R>, signal?: AbortSignal) => Promise<R>;
  /** Gives out no more, sends away those who wait, and resolves when all things are back. */
  close: () => Promise<void>;
}

interface Waiter<T> {
  give: (thing: T) => void;
  sendAway: (error: unknown) => void;
}

/** Hands things out; at most `most` may wait for their turn. */
export function openTurns<T>(things: readonly T[], most: number): Turns<T> {
  const free = [...things];
  const waiting: Waiter<T>[] = [];
  let closed: { resolve: () => void } | undefined;

  const next = (signal: AbortSignal | undefined): Promise<T> => {
    if (closed !== undefined) throw fail("NOT_READY");
    signal?.throwIfAborted();
    const thing = free.pop();
    if (thing !== undefined) return Promise.resolve(thing);
    if (waiting.length >= most) throw fail("BUSY");
    return queue(waiting, signal);
  };
  const giveBack = (thing: T): void => {
    const waiter = waiting.shift();
    if (waiter === undefined) free.push(thing);
    else waiter.give(thing);
    if (free.length === things.length) closed?.resolve();
  };
  return {
    take: async (use, signal) => {
      const thing = await next(signal);
      try {
        return await use(thing);
      } finally {
        giveBack(thing);
      }
    },
    close: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      closed = { resolve };
      for (const { sendAway } of waiting.splice(0)) sendAway(fail("NOT_READY"));
      if (free.length === things.length) resolve();
      return promise;
    },
  };
}

function queue<T>(waiting: Waiter<T>[], signal: AbortSignal | undefined): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const leave = (): void => {
    waiting.splice(waiting.indexOf(waiter), 1);
    reject(signal?.reason);
  };
  const waiter: Waiter<T> = {
    give: (thing) => {
      signal?.removeEventListener("abort", leave);
      resolve(thing);
    },
    sendAway: (error) => {
      signal?.removeEventListener("abort", leave);
      reject(error);
    },
  };
  waiting.push(waiter);
  signal?.addEventListener("abort", leave, { once: true });
  return promise;
}
