import { atomicSteps } from "./atomic-steps.ts";
import { begunSteps } from "./begun-steps.ts";
import { LeaseLost } from "./fault.ts";
import { fenced } from "./fence.ts";
import type { Lease } from "./lease.ts";
import { pause } from "./pause.ts";
import { poisons } from "./poison.ts";
import { Reach } from "./reach.ts";
import { paceOf, STEP_ENTRIES } from "./step.ts";
import { openWaiting, type Waiting } from "./waiting.ts";
import type { Steps, Work } from "./work.ts";

/** How often who waits for another process's work looks how far it is. */
const LOOK_MS = 50;

/** What a loop works with. */
export type LoopOptions = Pick<Work, "projection" | "store" | "log" | "now" | "alarm" | "inTurn" | "backoffMs"> & {
  /** Without one the projection is this process's alone. */
  lease: Lease | undefined;
};

/** Runs one projection while it holds the lease: reads the log from its watermark on, step by step, until it is stopped. */
export class ProjectionLoop {
  readonly name: string;
  readonly #options: LoopOptions;
  readonly #reach: Reach;
  readonly #waiting: Waiting;
  readonly #work: Work;
  readonly #steps: Steps;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #poisoned = 0;

  constructor(options: LoopOptions) {
    const { projection, lease, log, alarm } = options;
    const store = lease === undefined ? options.store : fenced(options.store, lease.check);
    this.#options = options;
    this.name = projection.name;
    this.#reach = new Reach({ log, subjects: projection.subjects });
    this.#waiting = openWaiting(this.name, alarm);
    this.#work = {
      ...options,
      store,
      pace: paceOf({ atomic: store.atomicBatch }),
      poisons: poisons(store),
      waitFor: (error) => this.#waiting.for(error),
      moved: (watermark) => this.#moved(watermark),
      setAside: () => {
        this.#poisoned += 1;
      },
    };
    this.#steps = store.atomicBatch ? atomicSteps(this.#work) : begunSteps(this.#work);
    this.#running = this.#run();
  }

  /** Entries that this projection has set aside. */
  get poisoned(): number {
    return this.#poisoned;
  }

  /** Whether this process runs it. */
  get isHeld(): boolean {
    return this.#options.lease?.isHeld ?? true;
  }

  /** Upper bound of the entries between what is done and this head of the log, whoever does it. */
  async lag(head: number): Promise<number> {
    if (!this.isHeld) await this.#look();
    return await this.#reach.lag(head);
  }

  /** Resolves when all entries up to this head are done, whoever does it. */
  async reach(head: number): Promise<void> {
    const { signal } = this.#stop;
    for (let looked: number | undefined; ; ) {
      const { progress } = this.#reach;
      if (!this.isHeld) await this.#look().catch(() => {}); // it waits as long as the store does not answer
      const { done } = this.#reach;
      if (done !== looked && (await this.#reach.hasReached(head))) return;
      looked = done;
      if (signal.aborted) throw new Error(`the projection ${this.name} was stopped`);
      await (this.#options.lease === undefined ? progress : Promise.race([progress, pause(LOOK_MS, signal)]));
    }
  }

  /** Finishes the step at hand, and hands the lease back. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#options.lease?.stop();
    this.#reach.wake();
  }

  /** How far the projection is that another process runs. */
  async #look(): Promise<void> {
    const { store } = this.#options;
    const watermark = await store.watermark(this.name);
    if (this.isHeld || watermark === this.#reach.done) return;
    this.#poisoned = await poisons(store).count({ projection: this.name });
    this.#reach.moved(watermark);
  }

  #moved(watermark: number): void {
    if (watermark !== this.#reach.done) this.#waiting.over();
    this.#reach.moved(watermark);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { lease, backoffMs } = this.#options;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const before = this.#reach.done;
      const term = lease === undefined ? signal : await lease.term(signal);
      if (term === undefined) return;
      try {
        await this.#follow(AbortSignal.any([signal, term]));
      } catch (error) {
        if (!(error instanceof LeaseLost)) this.#waiting.for(error);
      }
      if (this.#reach.done !== before) attempt = 0;
      await pause(backoffMs(attempt), signal);
    }
  }

  async #follow(follow: AbortSignal): Promise<void> {
    const { log, projection } = this.#options;
    const { pace, poisons } = this.#work;
    this.#poisoned = await poisons.count({ projection: this.name });
    const after = await this.#steps.resume(follow);
    const { subjects } = projection;
    for await (const chunk of log.read({ after, subjects, chunk: STEP_ENTRIES, follow })) {
      const began = performance.now();
      for (let rest = chunk; rest.length > 0 && !follow.aborted; ) {
        const count = pace.next(rest);
        await this.#steps.take(rest.slice(0, count), follow);
        rest = rest.slice(count);
      }
      await pause(pace.apartMs - (performance.now() - began), follow);
    }
  }
}
