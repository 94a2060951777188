import { fail } from "../reasons.ts";

/** Where callers wait until something can be used. */
export interface Gate<T> {
  /** Lets everybody through, to `thing`. */
  open: (thing: T) => void;
  /** From now on callers wait. */
  close: () => void;
  /** The thing; throws NOT_READY when it takes too long, and the reason of an aborted signal. */
  pass: (signal: AbortSignal) => Promise<T>;
}

/** A gate that is closed. A caller waits so many milliseconds before it. */
export function openGate<T>(patienceMs: number): Gate<T> {
  let way = Promise.withResolvers<T>();
  let isOpen = false;
  return {
    open: (thing) => {
      way.resolve(thing);
      isOpen = true;
    },
    close: () => {
      if (isOpen) way = Promise.withResolvers<T>();
      isOpen = false;
    },
    pass: (signal) => (isOpen ? way.promise : waitFor(way.promise, { signal, patienceMs })),
  };
}

async function waitFor<T>(coming: Promise<T>, until: { signal: AbortSignal; patienceMs: number }): Promise<T> {
  const { promise: never, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(fail("NOT_READY")), until.patienceMs);
  const onAbort = (): void => reject(until.signal.reason);
  until.signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([coming, never]);
  } finally {
    clearTimeout(timer);
    until.signal.removeEventListener("abort", onAbort);
  }
}
