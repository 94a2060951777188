/** What was opened, to be closed in reverse order. */
export interface Closing {
  /** Notes how to close something that is open now. */
  add: (name: string, close: () => Promise<unknown> | unknown) => void;
  /** Closes all, the last first; goes on when one fails, and rejects with the first failure then. */
  all: () => Promise<void>;
}

/** Begins with nothing open. */
export function openClosing(): Closing {
  const open: { name: string; close: () => Promise<unknown> | unknown }[] = [];
  const all = async (): Promise<void> => {
    const failures: Error[] = [];
    for (const { name, close } of open.splice(0).toReversed()) {
      try {
        await close();
      } catch (cause) {
        failures.push(new Error(`${name} could not be closed`, { cause }));
      }
    }
    if (failures[0] !== undefined) throw failures[0];
  };
  return { add: (name, close) => void open.push({ name, close }), all };
}

/** Starts something that opens parts one after another: whatever fails undoes what was begun. */
export async function starting<T>(start: (closing: Closing) => Promise<T>): Promise<T> {
  const closing = openClosing();
  try {
    return await start(closing);
  } catch (error) {
    await closing.all().catch(() => undefined);
    throw error;
  }
}
