import type { TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import type { Logger } from "#runtime/logger.ts";
import { BATCH, type IntakeLine, isLasting } from "../intake-line.ts";
import { redirectTouches } from "../metrics.ts";
import { nameOf, type Owner, type Unpacked } from "./frame.ts";
import type { Backlog, TouchQueue } from "./touch-queue.ts";

/** A touch that intake refuses for a reason that waiting does not mend is given up after so many calls. */
const ATTEMPTS = 5;
/** What waits but cannot be sent yet is looked at again so often. */
const POLL_MS = 50;
const GROWTH = 4;

/**
 * Brings to intake what waits on the disk, the oldest first. While calls fail it tries with one touch alone, so that a
 * refusal costs little and one bad touch is found among good ones.
 */
export class Drain {
  readonly #line: IntakeLine;
  readonly #queue: TouchQueue;
  readonly #log: Pick<Logger, "error">;
  #size = BATCH;
  #attempts = 0;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: { line: IntakeLine; queue: TouchQueue; log: Pick<Logger, "error"> }) {
    this.#line = options.line;
    this.#queue = options.queue;
    this.#log = options.log;
  }

  /** Begins, unless it is at it: something may be there to be sent. */
  kick(): void {
    if (this.#running !== undefined || this.#timer !== undefined || this.#isStopped) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#queue.touches === 0 || this.#isStopped) return;
      const pauseMs = POLL_MS * 2 ** this.#attempts;
      this.#timer = setTimeout(() => this.#wake(), Math.max(pauseMs, this.#line.pauseMs));
    });
  }

  /** Begins nothing any more. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #wake(): void {
    this.#timer = undefined;
    this.kick();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped && this.#line.pauseMs === 0) {
      const backlog = await this.#queue.next();
      if (backlog === undefined || !(await this.#bringAll(backlog))) return;
    }
  }

  /** False when it did not come to the end. */
  async #bringAll(backlog: Backlog): Promise<boolean> {
    for (const { owner, touches } of byOwner(backlog.touches)) {
      for (let from = 0; from < touches.length; ) {
        if (this.#isStopped) return false;
        const batch = touches.slice(from, from + (this.#line.isDown ? 1 : this.#size));
        if (!(await this.#bring(batch, { owner, backlog }))) return false;
        from += batch.length;
      }
    }
    return true;
  }

  async #bring(batch: TouchInput[], { owner, backlog }: { owner: Owner; backlog: Backlog }): Promise<boolean> {
    try {
      await this.#line.bring(batch, owner);
      this.#size = Math.min(BATCH, this.#size * GROWTH);
    } catch (error) {
      this.#attempts += isLasting(error) && batch.length === 1 ? 1 : 0;
      this.#size = 1;
      if (this.#attempts < ATTEMPTS) return false;
      redirectTouches.inc({ outcome: "dropped" });
      this.#log.error({ err: error }, "intake does not take a touch of a redirect, and it was dropped");
    }
    this.#attempts = 0;
    backlog.forget(batch.map(({ id }) => id));
    return true;
  }
}

/** Touches by whose they are, in their order. */
function byOwner(all: readonly Unpacked[]): Iterable<{ owner: Owner; touches: TouchInput[] }> {
  const owners = new Map<string, { owner: Owner; touches: TouchInput[] }>();
  for (const { owner, touch } of all) {
    const name = nameOf(owner);
    const known = owners.get(name) ?? { owner, touches: [] };
    known.touches.push(touch);
    owners.set(name, known);
  }
  return owners.values();
}
