import { CLOSED, fail } from "../failure.ts";

/** Calls of the driver that are on their way. */
export interface Calls {
  /** Settles as the call does, or rejects with STORE_UNAVAILABLE when it is not settled in time. */
  make: <R>(call: () => Promise<R>) => Promise<R>;
  /** Connections were lost: what was on its way has this moment to end by itself, then it rejects. */
  lost: () => void;
  /** Resolves when all have ended; no other is made from now on. */
  close: () => Promise<void>;
}

/** How long after connections were lost a call that was on its way may take to say so. */
const GRACE_MS = 2_000;

interface Pending {
  give: (error: unknown) => void;
  ended: Promise<unknown>;
}

/**
 * Gives every call of the driver an end. The driver has times of its own for all that it waits for, but when a server is killed
 * a call now and then never settles: whoever waited for it would do so for ever, with everything healthy around.
 */
export function trackCalls(limitMs: number): Calls {
  const pending = new Set<Pending>();
  let isClosed = false;
  const give = (some: Iterable<Pending>): void => {
    for (const { give: end } of some) end(fail("STORE_UNAVAILABLE", { why: "it does not answer" }));
  };
  return {
    make: async (call) => {
      if (isClosed) throw fail("STORE_UNAVAILABLE", { why: CLOSED });
      const { promise: given, reject } = Promise.withResolvers<never>();
      const ended = Promise.race([call(), given]);
      const one: Pending = { give: reject, ended };
      pending.add(one);
      const timer = setTimeout(() => give([one]), limitMs);
      try {
        return await ended;
      } finally {
        clearTimeout(timer);
        pending.delete(one);
      }
    },
    lost: () => {
      const some = [...pending];
      if (some.length > 0) setTimeout(() => give(some), GRACE_MS).unref();
    },
    close: async () => {
      isClosed = true;
      await Promise.allSettled([...pending].map(({ ended }) => ended));
    },
  };
}
