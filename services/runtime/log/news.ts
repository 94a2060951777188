import { BroadcastChannel } from "node:worker_threads";
import { channelOf } from "./group.ts";

/**
 * Readers are woken so long after the first news, for all that comes meanwhile: under load each wake costs a look at the
 * file a reader, which per append would be more than the appends themselves.
 */
const GATHER_MS = 4;

/** Tells the readers of one thread that a log has grown. */
export interface News {
  /** How many announcements have come. */
  count: () => number;
  /** Resolves when there is news since `seen` was counted, at the abort, at the close, or when the time is over. */
  wait: (options: { seen: number; signal: AbortSignal; timeoutMs: number }) => Promise<void>;
  isClosed: () => boolean;
  close: () => void;
}

/** Listens to what the writer of the log at `path` announces to its process. */
export function openNews(path: string): News {
  let count = 0;
  let closed = false;
  const waiting = new Set<() => void>();
  let gathering: NodeJS.Timeout | undefined;
  const heads = new BroadcastChannel(channelOf(path));
  const wakeAll = () => {
    gathering = undefined;
    for (const wake of waiting) wake();
  };
  heads.onmessage = () => {
    count += 1;
    gathering ??= setTimeout(wakeAll, GATHER_MS);
  };
  heads.unref();

  const wait: News["wait"] = ({ seen, signal, timeoutMs }) => {
    if (closed || signal.aborted || (count !== seen && gathering === undefined)) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      signal.addEventListener("abort", wake, { once: true });
      waiting.add(wake);
    });
  };
  const close = () => {
    closed = true;
    heads.close();
    clearTimeout(gathering);
    wakeAll();
  };
  return { count: () => count, wait, isClosed: () => closed, close };
}
