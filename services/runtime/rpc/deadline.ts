import { Code, ConnectError } from "@connectrpc/connect";
import { fail } from "../failure.ts";

/** The signal of a call that nobody can end. */
export const NEVER: AbortSignal = new AbortController().signal;

/** The longest that a timer of Node runs; a longer one would end at once. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Runs `run` with a signal that aborts at the deadline or with the caller's signal, and rejects then even when the work
 * does not listen: with DEADLINE, or with CANCELED for a caller that went away.
 */
export async function withDeadline<T>(
  run: (signal: AbortSignal) => Promise<T>,
  options: { signal: AbortSignal | undefined; timeoutMs: number },
): Promise<T> {
  const { signal: caller, timeoutMs } = options;
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(caller?.reason);
  const delayMs = Math.min(Math.max(timeoutMs, 0), LONGEST_MS);
  const timer = setTimeout(() => controller.abort(fail("DEADLINE")), delayMs);
  if (caller?.aborted) onAbort();
  else caller?.addEventListener("abort", onAbort, { once: true });
  try {
    return await untilAborted(controller.signal, () => run(controller.signal));
  } finally {
    clearTimeout(timer);
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
function endOf({ reason }: AbortSignal): ConnectError {
  if (reason instanceof ConnectError) return reason;
  return new ConnectError("the call was cancelled", Code.Canceled, undefined, undefined, reason);
}
