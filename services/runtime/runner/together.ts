/**
 * Waits until all have ended, then throws the first failure. A step that fails has no write under way any more, so that
 * neither its repetition nor the end of its transaction meets one.
 */
export async function together(all: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(all)).find(({ status }) => status === "rejected");
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
}

/** Runs for each item, at most so many at a time, and waits as `together` does. After a failure no further one begins. */
export async function abreast<T>(
  items: Iterable<T>,
  { most, run }: { most: number; run: (item: T) => Promise<void> },
): Promise<void> {
  const rest = items[Symbol.iterator]();
  let failed = false;
  const lane = async () => {
    for (let next = rest.next(); !failed && next.done !== true; next = rest.next()) {
      try {
        await run(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await together(Array.from({ length: most }, lane));
}
