import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { type ObjectChanged, ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Log, Subject } from "./log.ts";

/** How long after trouble the log is tried again. */
const RETRY_MS = 250;
/** How often the log is asked whether it is still there, and how long it may take: news that stop coming are noticed by nothing else. */
const BEAT_MS = 500;
const PATIENCE_MS = 700;
/** After so long without news the log may have forgotten what came meanwhile. */
const LONG_MS = 60_000;

/** What is told. */
export interface NewsOptions {
  log: Pick<Log, "read" | "head">;
  subjects: readonly Subject[];
  /** Something has changed. It must not throw. */
  onChange: (subject: Subject, change: ObjectChanged) => void;
  /** Changes may have been missed: everything that is kept is in doubt. It must not throw. */
  onGap: () => void;
  /** Whether the connection to the log stands, as far as is known. */
  isUp?: () => boolean;
}

/** Changes that are being followed. */
export interface News {
  /** Every change is told within a moment. False while the log cannot be read or does not answer. */
  fresh: () => boolean;
  stop: () => Promise<void>;
}

/** Follows what changes from now on. Trouble does not end it: it goes on from where it was, and tells of a gap when there can be one. */
export function followNews(options: NewsOptions): News {
  const stopping = new AbortController();
  const follower = new Follower(options, stopping.signal);
  const running = Promise.all([follower.follow(), follower.beat()]);
  return {
    fresh: () => follower.isFresh,
    stop: async () => {
      stopping.abort();
      await Promise.race([running, delay(PATIENCE_MS)]);
    },
  };
}

class Follower {
  readonly #options: NewsOptions;
  readonly #stop: AbortSignal;
  /** Position of what was told last. */
  #after: number | undefined;
  /** It has caught up, and waits for more. */
  #isFollowing = false;
  /** The log answered when it was last asked. */
  #answers = false;
  #lastSeenAt = performance.now();

  constructor(options: NewsOptions, stop: AbortSignal) {
    this.#options = options;
    this.#stop = stop;
  }

  get isFresh(): boolean {
    return !this.#stop.aborted && this.#isFollowing && this.#answers && (this.#options.isUp?.() ?? true);
  }

  async follow(): Promise<void> {
    const { log, subjects } = this.#options;
    while (!this.#stop.aborted) {
      try {
        const after = await this.#catchUp();
        this.#isFollowing = true;
        for await (const entries of log.read({ after, subjects, follow: this.#stop })) this.#tell(entries);
      } catch {
        // Told by isFresh; the log itself says what is wrong to those who write to it.
      }
      this.#isFollowing = false;
      await this.#pause(RETRY_MS);
    }
  }

  /** Asks the log now and then whether it is there. */
  async beat(): Promise<void> {
    while (!this.#stop.aborted) {
      this.#answers = await this.#head().then(
        () => true,
        () => false,
      );
      if (this.isFresh) this.#lastSeenAt = performance.now();
      await this.#pause(BEAT_MS);
    }
  }

  /** The head of the log; rejects when the log takes too long. */
  #head(): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const timer = setTimeout(() => reject(new Error("the log does not answer")), PATIENCE_MS);
    this.#options.log
      .head()
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
    return promise;
  }

  /** Tells what has come meanwhile, and where to go on. */
  async #catchUp(): Promise<number> {
    const { log, subjects, onGap } = this.#options;
    const head = await this.#head();
    const isLong = performance.now() - this.#lastSeenAt > LONG_MS;
    if (this.#after === undefined || head < this.#after || isLong) {
      this.#after = head;
      onGap();
    }
    for await (const entries of log.read({ after: this.#after, subjects })) this.#tell(entries);
    this.#lastSeenAt = performance.now();
    return this.#after;
  }

  #tell(entries: readonly { position: number; subject: Subject; payload: Uint8Array }[]): void {
    for (const { position, subject, payload } of entries) {
      this.#after = position;
      const change = changeIn(payload);
      if (change === undefined) this.#options.onGap();
      else this.#options.onChange(subject, change);
    }
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#stop }).catch(() => undefined);
  }
}

/** Undefined when it cannot be read: what has changed is not known then. */
function changeIn(payload: Uint8Array): ObjectChanged | undefined {
  try {
    return fromBinary(ObjectChangedSchema, payload);
  } catch {
    return undefined;
  }
}
