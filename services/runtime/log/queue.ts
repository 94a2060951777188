import type { Worker } from "node:worker_threads";
import { fail } from "../failure.ts";
import type { LogRecord } from "../log.ts";
import { type Answer, type Order, pack } from "./group.ts";
import { fail as failLog } from "./reasons.ts";

const GROUP_BYTES = 8 * 1024 * 1024;
const GROUP_APPENDS = 4096;
const RECORD_BYTES = 128;

/** A group is given to a writer at most so often; a second writer follows one that died. */
const ATTEMPTS = 2;

/** What an AppendQueue works with. */
export interface QueueOptions {
  startWriter: () => Worker;
  /** Position of a batch that is on the log. Settles what a dead writer left unanswered. */
  positionOf: (batchId: string) => number | undefined;
  now: () => number;
  maxQueueBytes: number;
  maxQueueAppends: number;
}

interface Pending {
  batchId: string;
  records: readonly LogRecord[];
  sizeBytes: number;
  promise: Promise<number>;
  resolve: (position: number) => void;
  reject: (cause: unknown) => void;
}

/**
 * Appends on their way to the writer thread. One group is with the writer; what comes meanwhile is the next group.
 * When a writer dies, the next one gets the same group (batch ids keep it from being written twice); when that dies as
 * well, each append of the group ends as the log shows it: its position, or LOG_UNAVAILABLE and nothing on the log. The
 * append after that starts a writer again.
 */
export class AppendQueue {
  readonly #options: QueueOptions;
  readonly #pending = new Map<string, Pending>();
  #waiting: Pending[] = [];
  #sent: Pending[] = [];
  #heldBytes = 0;
  #writer: Worker | undefined;
  #attempt = 0;
  #pumping = false;
  #closed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  append(records: readonly LogRecord[], batchId: string): Promise<number> {
    if (this.#closed) return Promise.reject(failLog("LOG_UNAVAILABLE", { why: "it is closed" }));
    const same = this.#pending.get(batchId);
    if (same !== undefined) return same.promise;
    const sizeBytes = records.reduce((sum, { payload }) => sum + payload.byteLength + RECORD_BYTES, 0);
    if (this.#isFullFor(sizeBytes)) return Promise.reject(fail("OVERLOADED"));
    const pending: Pending = { batchId, records, sizeBytes, ...Promise.withResolvers<number>() };
    this.#pending.set(batchId, pending);
    this.#heldBytes += sizeBytes;
    this.#waiting.push(pending);
    this.#pumpSoon();
    return pending.promise;
  }

  /** Takes no more, and resolves when all that was taken is settled. */
  async drain(): Promise<void> {
    this.#closed = true;
    while (this.#pending.size > 0) await Promise.allSettled([...this.#pending.values()].map(({ promise }) => promise));
  }

  /** Drains, and resolves when the writer has closed the file. */
  async close(): Promise<void> {
    await this.drain();
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer === undefined) return;
    const exit = new Promise<void>((resolve) => writer.once("exit", () => resolve()));
    writer.ref();
    writer.postMessage({ kind: "close" } satisfies Order);
    await exit;
  }

  // An append larger than the queue passes when nothing else waits: it could never be taken otherwise.
  #isFullFor(sizeBytes: number): boolean {
    const { maxQueueBytes, maxQueueAppends } = this.#options;
    if (this.#pending.size === 0) return false;
    return this.#heldBytes + sizeBytes > maxQueueBytes || this.#pending.size >= maxQueueAppends;
  }

  // After this turn's other events, so that their appends share the group.
  #pumpSoon(): void {
    if (this.#pumping || this.#sent.length > 0) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      if (this.#sent.length > 0 || this.#waiting.length === 0) return;
      this.#sent = this.#takeGroup();
      this.#attempt = 0;
      this.#send();
    });
  }

  #takeGroup(): Pending[] {
    let sizeBytes = 0;
    const over = this.#waiting.findIndex((pending, index) => {
      sizeBytes += pending.sizeBytes;
      return index > 0 && (sizeBytes > GROUP_BYTES || index >= GROUP_APPENDS);
    });
    return this.#waiting.splice(0, over === -1 ? this.#waiting.length : over);
  }

  #send(): void {
    this.#attempt += 1;
    const group = pack(this.#sent, this.#options.now());
    this.#writer ??= this.#start();
    this.#writer.ref();
    this.#writer.postMessage({ kind: "append", group } satisfies Order, [group.bytes.buffer]);
  }

  #start(): Worker {
    const writer = this.#options.startWriter();
    let why = "its writer stopped";
    writer.on("message", (answer: Answer) => {
      if (this.#writer === writer) this.#answered(answer); // a dead one's group is with the next
    });
    writer.on("error", (cause) => {
      why = cause instanceof Error ? cause.message : why;
    });
    writer.on("exit", () => this.#died(writer, why));
    return writer;
  }

  #answered(answer: Answer): void {
    this.#settle((pending, index) => {
      if (answer.kind === "appended") pending.resolve(answer.positions[index] as number);
      else pending.reject(failLog("LOG_UNAVAILABLE", { why: answer.why }));
    });
  }

  #died(writer: Worker, why: string): void {
    if (this.#writer !== writer) return;
    this.#writer = undefined;
    if (this.#sent.length === 0) return;
    if (this.#attempt < ATTEMPTS) this.#send();
    else this.#settle((pending) => this.#settleByLog(pending, why));
  }

  #settleByLog(pending: Pending, why: string): void {
    try {
      const position = this.#options.positionOf(pending.batchId);
      if (position !== undefined) pending.resolve(position);
      else pending.reject(failLog("LOG_UNAVAILABLE", { why }));
    } catch (cause) {
      pending.reject(failLog("LOG_UNAVAILABLE", { why }, cause));
    }
  }

  #settle(each: (pending: Pending, index: number) => void): void {
    const sent = this.#sent;
    this.#sent = [];
    for (const [index, pending] of sent.entries()) {
      this.#pending.delete(pending.batchId);
      this.#heldBytes -= pending.sizeBytes;
      each(pending, index);
    }
    if (this.#waiting.length > 0) this.#pumpSoon();
    else this.#writer?.unref();
  }
}
