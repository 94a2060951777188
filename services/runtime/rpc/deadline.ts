import { Code, ConnectError } from "@connectrpc/connect";
import { fail } from "../failure.ts";

/** The signal of a call that nobody can end. */
export const NEVER: AbortSignal = new AbortController().signal;

/** The longest that a timer of Node runs; a longer one would end at once. */
const LONGEST_MS = 2 ** 31 - 1;

const deadlines = new WeakMap<AbortSignal, number>();

/**
 * When the call that has this signal ends, in milliseconds since 1970; undefined without a deadline. So whoever passes the
 * signal on passes the time that is left.
 */
export function deadlineOf(signal: AbortSignal): number | undefined {
  return deadlines.get(signal);
}

/** A call that has a deadline. */
export interface Lifetime {
  /** Aborts at the deadline, with DEADLINE, or when the call is cancelled. */
  signal: AbortSignal;
  /** The caller went away. Nothing after `done`. */
  cancel: (reason?: unknown) => void;
  /** The call has been answered: the signal stays as it is. */
  done: () => void;
}

/** Begins the life of a call that has this long. */
export function beginLife(timeoutMs: number): Lifetime {
  const controller = new AbortController();
  const { signal } = controller;
  let isDone = false;
  const done = (): void => {
    isDone = true;
    clearTimeout(timer);
  };
  const cancel = (reason?: unknown): void => {
    if (!isDone) controller.abort(reason);
    done();
  };
  const delayMs = Math.min(Math.max(timeoutMs, 0), LONGEST_MS);
  const timer = setTimeout(() => cancel(fail("DEADLINE")), delayMs);
  deadlines.set(signal, Date.now() + delayMs);
  return { signal, cancel, done };
}

/**
 * Runs `run` with a signal that aborts at the deadline or with the caller's signal, and rejects then even when the work
 * does not listen: with DEADLINE, or with CANCELED for a caller that went away.
 */
export async function withDeadline<T>(
  run: (signal: AbortSignal) => Promise<T>,
  options: { signal: AbortSignal | undefined; timeoutMs: number },
): Promise<T> {
  const { signal: caller, timeoutMs } = options;
  const leftMs =
    caller === undefined ? Number.POSITIVE_INFINITY : (deadlineOf(caller) ?? Number.POSITIVE_INFINITY) - Date.now();
  const life = beginLife(Math.min(timeoutMs, leftMs));
  const onAbort = (): void => life.cancel(caller?.reason);
  if (caller?.aborted) onAbort();
  else caller?.addEventListener("abort", onAbort, { once: true });
  try {
    return await untilAborted(life.signal, () => run(life.signal));
  } finally {
    life.done();
    caller?.removeEventListener("abort", onAbort);
  }
}

/** Settles as the work does, or rejects when the signal aborts, whichever is first. An aborted signal starts no work. */
export function untilAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  if (signal === NEVER) return work();
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(endOf(signal));
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    const done = (): void => signal.removeEventListener("abort", onAbort);
    work().then(
      (value) => {
        done();
        resolve(value);
      },
      (error: unknown) => {
        done();
        reject(error);
      },
    );
  });
}

/** Why a call was ended: its deadline, or a caller that no longer waits. */
export function endOf({ reason }: AbortSignal): ConnectError {
  if (reason instanceof ConnectError) return reason;
  return new ConnectError("the call was cancelled", Code.Canceled, undefined, undefined, reason);
}
