import type { Log, Subject } from "../log.ts";

/** How far a projection is, and who waits for it. */
export class Reach {
  readonly #log: Pick<Log, "read">;
  readonly #subjects: readonly Subject[];
  #done: number | undefined;
  #seen = 0;
  #progress = Promise.withResolvers<void>();

  constructor({ log, subjects }: { log: Pick<Log, "read">; subjects: readonly Subject[] }) {
    this.#log = log;
    this.#subjects = subjects;
  }

  /** The watermark, as far as it is known here; undefined before it was asked for. */
  get done(): number | undefined {
    return this.#done;
  }

  /** Resolves at the next move. */
  get progress(): Promise<void> {
    return this.#progress.promise;
  }

  /** Notes that all up to this position is done, and wakes who waits. */
  moved(watermark: number): void {
    this.#done = Math.max(this.#done ?? 0, watermark);
    this.#seen = Math.max(this.#seen, watermark);
    this.wake();
  }

  /** Lets who waits look again. */
  wake(): void {
    const { resolve } = this.#progress;
    this.#progress = Promise.withResolvers<void>();
    resolve();
  }

  /** Upper bound of the entries between what is done and this head of the log. */
  async lag(head: number): Promise<number> {
    return (await this.hasReached(head)) ? 0 : head - this.#seen;
  }

  /** Whether all up to this head is done. The watermark stays at the last entry of these subjects: others may follow it. */
  async hasReached(head: number): Promise<boolean> {
    if (this.#done === undefined) return false;
    const after = this.#seen;
    if (after >= head) return true;
    for await (const [next] of this.#log.read({ after, subjects: this.#subjects, chunk: 1 })) {
      if (next !== undefined && next.position <= head) return false;
      break;
    }
    this.#seen = Math.max(this.#seen, head);
    return true;
  }
}
