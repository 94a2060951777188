import { fail } from "../failure.ts";

/**
 * Runs `run` with a signal that aborts at the deadline or with the caller's signal, and rejects at the deadline even
 * when the work does not listen.
 */
export function withDeadline<T>(
  run: (signal: AbortSignal) => Promise<T>,
  options: { signal: AbortSignal | undefined; timeoutMs: number },
): Promise<T> {
  const controller = new AbortController();
  return new Promise<T>((resolve, reject) => {
    const stop = (reason: unknown): void => {
      controller.abort(reason);
      reject(reason);
    };
    const onAbort = (): void => stop(options.signal?.reason);
    const timer = setTimeout(() => stop(fail("DEADLINE")), options.timeoutMs);
    const done = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    };
    if (options.signal?.aborted) onAbort();
    else options.signal?.addEventListener("abort", onAbort, { once: true });
    run(controller.signal).then(resolve, reject).finally(done);
  });
}
