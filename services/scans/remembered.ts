import { LRUCache } from "lru-cache";

/** How long an answer of another service is believed at the most, should the news of its change be lost. */
const TTL_MS = 60_000;
/** How long it is believed that something does not exist. */
const ABSENT_TTL_MS = 5_000;

/** Answers of another service, or that there is none. */
export interface Remembered<V> {
  /** The answer; null: there is none; undefined: not remembered. */
  get: (key: string) => V | null | undefined;
  /** Marks the moment before asking. */
  begin: () => number;
  /** Remembers an answer that was asked for at `begun`, unless something was forgotten since: it may be older than that. */
  put: (key: string, value: V | null, begun: number) => void;
  forget: (keys: readonly string[]) => void;
  forgetAll: () => void;
}

/** Remembers at most `max` answers. */
export function remember<V extends object>(max: number): Remembered<V> {
  const answers = new LRUCache<string, { value: V | null }>({ max, ttl: TTL_MS });
  let forgotten = 0;
  return {
    get: (key) => answers.get(key)?.value,
    begin: () => forgotten,
    put: (key, value, begun) => {
      if (begun === forgotten) answers.set(key, { value }, { ttl: value === null ? ABSENT_TTL_MS : TTL_MS });
    },
    forget: (keys) => {
      forgotten += 1;
      for (const key of keys) answers.delete(key);
    },
    forgetAll: () => {
      forgotten += 1;
      answers.clear();
    },
  };
}
