import { BroadcastChannel } from "node:worker_threads";
import type { Subject } from "../log.ts";
import { holdsTouches } from "../touches.ts";
import { channelOf } from "./group.ts";

/**
 * Readers of touches are woken so long after the first news, for all that comes meanwhile: under load each wake costs a look
 * at the file a reader, which per append would be more than the appends themselves. All other news wakes at once, because
 * caches hang on it.
 */
const GATHER_MS = 4;

/** What the writer announces: the subjects of what it has appended. */
export interface Announcement {
  subjects: readonly Subject[];
}

/** How much news there was when a reader last looked. */
export interface Seen {
  touches: number;
  others: number;
}

/** What a reader waits for. */
export interface Wait {
  seen: Seen;
  /** Undefined: everything. */
  subjects: readonly Subject[] | undefined;
  signal: AbortSignal;
  timeoutMs: number;
}

/** Tells the readers of one thread that a log has grown. */
export interface News {
  /** How many announcements have come. */
  count: () => Seen;
  /** Resolves when there is news for the reader since it looked, at the abort, at the close, or when the time is over. */
  wait: (wait: Wait) => Promise<void>;
  isClosed: () => boolean;
  close: () => void;
}

interface Waiter {
  wake: () => void;
  subjects: readonly Subject[] | undefined;
  /** It is to be woken when the gathering is over. */
  isDue: boolean;
}

/** Listens to what the writer of the log at `path` announces to its process. */
export function openNews(path: string): News {
  const counts: Seen = { touches: 0, others: 0 };
  const waiting = new Set<Waiter>();
  let closed = false;
  let gathering: NodeJS.Timeout | undefined;
  const wakeDue = () => {
    gathering = undefined;
    for (const waiter of waiting) if (waiter.isDue) waiter.wake();
  };
  const heads = new BroadcastChannel(channelOf(path));
  heads.onmessage = ({ data }: { data: unknown }) => {
    const { subjects } = data as Announcement;
    const isUrgent = !subjects.every(holdsTouches);
    if (isUrgent) counts.others += 1;
    else counts.touches += 1;
    for (const waiter of waiting) {
      if (!wants(waiter, subjects)) continue;
      if (isUrgent) waiter.wake();
      else waiter.isDue = true;
    }
    if (!isUrgent) gathering ??= setTimeout(wakeDue, GATHER_MS);
  };
  heads.unref();

  const wait: News["wait"] = ({ seen, subjects, signal, timeoutMs }) => {
    const isMissed = counts.touches !== seen.touches;
    if (closed || signal.aborted || counts.others !== seen.others) return Promise.resolve();
    if (isMissed && gathering === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        waiting.delete(waiter);
        resolve();
      };
      const waiter: Waiter = { wake, subjects, isDue: isMissed };
      const timer = setTimeout(wake, timeoutMs);
      signal.addEventListener("abort", wake, { once: true });
      waiting.add(waiter);
    });
  };
  const close = () => {
    closed = true;
    heads.close();
    clearTimeout(gathering);
    for (const { wake } of waiting) wake();
  };
  return { count: () => ({ ...counts }), wait, isClosed: () => closed, close };
}

function wants({ subjects }: Waiter, announced: readonly Subject[]): boolean {
  return subjects === undefined || announced.some((subject) => subjects.includes(subject));
}
