import type { Log, LogEntry } from "../log.ts";
import type { Projection } from "../service.ts";
import type { Collection, Store } from "../store.ts";
import { type Alarm, faultOf, isTrouble, WatermarkMoved } from "./fault.ts";
import { type PoisonDoc, poisonOf, poisons } from "./poison.ts";
import { type Pace, paceOf, STEP_ENTRIES } from "./step.ts";

/** A failing step is repeated so often before its entries are tried one by one, and an entry before it is set aside. */
const RETRIES = 3;

/** What a loop works with. */
export interface LoopOptions {
  projection: Projection;
  store: Store;
  log: Pick<Log, "read" | "head">;
  now: () => number;
  alarm: (alarm: Alarm) => void;
  /** Runs a step when it is this loop's turn. */
  inTurn: <R>(step: () => Promise<R>) => Promise<R>;
  /** Milliseconds before attempt 0, 1, 2, … of a repetition. */
  backoffMs: (attempt: number) => number;
}

/** Runs one projection: reads the log from its watermark on, step by step, until it is stopped. */
export class ProjectionLoop {
  readonly name: string;
  readonly #options: LoopOptions;
  readonly #pace: Pace;
  readonly #poisons: Collection<PoisonDoc>;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #watermark: number | undefined;
  #seen = 0;
  #poisoned = 0;
  #progress = Promise.withResolvers<void>();

  constructor(options: LoopOptions) {
    this.#options = options;
    this.name = options.projection.name;
    this.#pace = paceOf({ single: !options.store.atomicBatch });
    this.#poisons = poisons(options.store);
    this.#running = this.#run();
  }

  /** Entries that this projection has set aside. */
  get poisoned(): number {
    return this.#poisoned;
  }

  /** Upper bound of the entries between what is done and this head of the log. */
  async lag(head: number): Promise<number> {
    return (await this.#hasReached(head)) ? 0 : head - this.#seen;
  }

  /** Resolves when all entries up to this head are done. */
  async reach(head: number): Promise<void> {
    for (;;) {
      const { promise } = this.#progress;
      if (await this.#hasReached(head)) return;
      if (this.#stop.signal.aborted) throw new Error(`the projection ${this.name} was stopped`);
      await promise;
    }
  }

  /** Finishes the step at hand. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#progress.resolve();
  }

  // Reading by subject, the watermark stays at the last entry of these subjects: what follows may be of others only.
  async #hasReached(head: number): Promise<boolean> {
    if (this.#watermark === undefined) return false;
    if (this.#seen >= head) return true;
    const { log, projection } = this.#options;
    for await (const [next] of log.read({ after: this.#seen, subjects: projection.subjects, chunk: 1 })) {
      if (next !== undefined && next.position <= head) return false;
      break;
    }
    this.#seen = Math.max(this.#seen, head);
    return true;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const before = this.#watermark;
      try {
        await this.#follow();
      } catch (error) {
        this.#options.alarm({ kind: "waiting", projection: this.name, ...faultOf(error) });
      }
      if (this.#watermark !== before) attempt = 0;
      await this.#pause(attempt);
    }
  }

  async #follow(): Promise<void> {
    const { store, log, projection } = this.#options;
    this.#poisoned = await this.#poisons.count({ projection: this.name });
    const after = await store.watermark(this.name);
    this.#seen = after;
    this.#moved(after);
    const { subjects } = projection;
    const follow = this.#stop.signal;
    for await (const chunk of log.read({ after, subjects, chunk: STEP_ENTRIES, follow })) {
      for (let rest = chunk; rest.length > 0 && !follow.aborted; ) {
        const count = this.#pace.next(rest);
        await this.#step(rest.slice(0, count));
        rest = rest.slice(count);
      }
    }
  }

  async #step(entries: readonly LogEntry[]): Promise<void> {
    for (let attempt = 0; !this.#stop.signal.aborted; attempt += 1) {
      try {
        return await this.#apply(entries);
      } catch (error) {
        if (isTrouble(error)) throw error;
        if (attempt < RETRIES) await this.#pause(attempt);
        else return await this.#isolate(entries, error);
      }
    }
  }

  async #isolate(entries: readonly LogEntry[], error: unknown): Promise<void> {
    if (entries.length === 1) return await this.#setAside(entries[0] as LogEntry, error);
    for (const entry of entries) await this.#step([entry]);
  }

  async #apply(entries: readonly LogEntry[]): Promise<void> {
    const { store, projection, now, inTurn } = this.#options;
    const work = async () => {
      const began = performance.now();
      await projection.project(entries, { store, now });
      await this.#advance(entries);
      this.#pace.took(entries, performance.now() - began);
    };
    await inTurn(() => store.batch(work));
    this.#moved((entries.at(-1) as LogEntry).position);
  }

  async #setAside(entry: LogEntry, error: unknown): Promise<void> {
    const { store, now, alarm, inTurn } = this.#options;
    const fault = { projection: this.name, ...faultOf(error) };
    const work = async () => {
      await this.#poisons.insert(poisonOf(entry, { ...fault, at: now() }));
      await this.#advance([entry]);
    };
    await inTurn(() => store.batch(work));
    this.#poisoned += 1;
    this.#moved(entry.position);
    alarm({ kind: "poison", position: entry.position, subject: entry.subject, ...fault });
  }

  async #advance(entries: readonly LogEntry[]): Promise<void> {
    const from = this.#watermark as number;
    const to = (entries.at(-1) as LogEntry).position;
    if (!(await this.#options.store.advance(this.name, from, to))) throw new WatermarkMoved();
  }

  #moved(watermark: number): void {
    this.#watermark = watermark;
    this.#seen = Math.max(this.#seen, watermark);
    const { resolve } = this.#progress;
    this.#progress = Promise.withResolvers<void>();
    resolve();
  }

  #pause(attempt: number): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, this.#options.backoffMs(attempt));
      signal.addEventListener("abort", done, { once: true });
    });
  }
}
