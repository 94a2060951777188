import { setTimeout as delay } from "node:timers/promises";
import { fail as failAny } from "../../failure.ts";
import type { LogRecord } from "../../log.ts";
import type { Nats } from "../../nats.ts";
import { fail } from "../reasons.ts";
import { CODES, isFinal, numberOf, refusalOf } from "./fault.ts";
import { BATCH_RECORDS, checkSize, type Parcel, type Publisher } from "./publisher.ts";
import { subjectOf } from "./subjects.ts";

const GROUP_BYTES = 4 * 1024 * 1024;
const RECORD_BYTES = 256;
/** A try that is not answered by then is repeated, with the same ids and the same bytes. */
const TRY_MS = 1000;
const AGAIN_MS = 50;

/** What an AppendQueue works with. */
export interface QueueOptions {
  nats: Nats;
  publisher: Publisher;
  prefix: string;
  maxQueueBytes: number;
  maxQueueAppends: number;
  /** An append that is not settled by then is refused. */
  deadlineMs: number;
}

interface Pending {
  batchId: string;
  parcels: readonly Parcel[];
  sizeBytes: number;
  /** By performance.now(). */
  until: number;
  promise: Promise<number>;
  resolve: (position: number) => void;
  reject: (cause: unknown) => void;
}

/**
 * Appends on their way to the stream. One group is with the server, as one atomic batch; what comes meanwhile is the next
 * group. So a record that has to be sent again never lands behind a later one of its key. Each record has an id by which the
 * stream takes it once: a group in which one is known already is taken apart and settled append by append.
 */
export class AppendQueue {
  readonly #options: QueueOptions;
  readonly #pending = new Map<string, Pending>();
  #waiting: Pending[] = [];
  #heldBytes = 0;
  #isPumping = false;
  #isClosed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  append(records: readonly LogRecord[], batchId: string): Promise<number> {
    if (this.#isClosed) return Promise.reject(fail("LOG_UNAVAILABLE", { why: "it is closed" }));
    const same = this.#pending.get(batchId);
    if (same !== undefined) return same.promise;
    try {
      const pending = this.#take(records, batchId);
      this.#waiting.push(pending);
      void this.#pump();
      return pending.promise;
    } catch (refusal) {
      return Promise.reject(refusal);
    }
  }

  /** Takes no more, and resolves when all that was taken is settled. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#pending.size > 0) await Promise.allSettled([...this.#pending.values()].map(({ promise }) => promise));
  }

  #take(records: readonly LogRecord[], batchId: string): Pending {
    const { nats, prefix, deadlineMs } = this.#options;
    const sizeBytes = records.reduce((sum, { payload }) => sum + payload.byteLength + RECORD_BYTES, 0);
    if (this.#isFullFor(sizeBytes)) throw failAny("OVERLOADED");
    const name = encodeURIComponent(batchId); // it goes into a header
    const parcels = records.map((record, index) => {
      checkSize(nats, record.payload.byteLength);
      return { subject: subjectOf(prefix, record), id: `${name}/${index}`, payload: record.payload };
    });
    const until = performance.now() + deadlineMs;
    const pending: Pending = { batchId, parcels, sizeBytes, until, ...Promise.withResolvers<number>() };
    this.#pending.set(batchId, pending);
    this.#heldBytes += sizeBytes;
    return pending;
  }

  // An append larger than the queue passes when nothing else waits: it could never be taken otherwise.
  #isFullFor(sizeBytes: number): boolean {
    const { maxQueueBytes, maxQueueAppends } = this.#options;
    if (this.#pending.size === 0) return false;
    return this.#heldBytes + sizeBytes > maxQueueBytes || this.#pending.size >= maxQueueAppends;
  }

  // Begins after this turn's other events, so that their appends share the group.
  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) await this.#deliver(this.#takeGroup());
    this.#isPumping = false;
  }

  #takeGroup(): Pending[] {
    let sizeBytes = 0;
    let records = 0;
    const over = this.#waiting.findIndex((pending, index) => {
      sizeBytes += pending.sizeBytes;
      records += pending.parcels.length;
      return index > 0 && (sizeBytes > GROUP_BYTES || records > BATCH_RECORDS);
    });
    return this.#waiting.splice(0, over === -1 ? this.#waiting.length : over);
  }

  async #deliver(group: Pending[]): Promise<void> {
    for (let rest = this.#unexpired(group); rest.length > 0; rest = this.#unexpired(rest)) {
      if (rest.length === 1) return await this.#alone(rest[0] as Pending);
      if (!(await this.#isReady(rest))) continue;
      const parcels = rest.flatMap((pending) => pending.parcels);
      try {
        return this.#settle(rest, await this.#options.publisher.batch(parcels, TRY_MS));
      } catch (error) {
        if (isFinal(error) || numberOf(error) === CODES.duplicateInBatch) {
          for (const pending of rest) await this.#alone(pending);
          return;
        }
        await delay(AGAIN_MS);
      }
    }
  }

  async #alone(pending: Pending): Promise<void> {
    for (let error: unknown; ; ) {
      if (performance.now() >= pending.until) return this.#refuse(pending, error);
      if (!(await this.#isReady([pending]))) continue;
      try {
        return this.#resolve(pending, await this.#surely(pending.parcels));
      } catch (cause) {
        if (isFinal(cause)) return this.#refuse(pending, cause);
        error = cause;
        await delay(AGAIN_MS);
      }
    }
  }

  /** Brings one append onto the stream, whatever of it is there already; its last position. */
  async #surely(parcels: readonly Parcel[]): Promise<number> {
    let position = 0;
    for (let start = 0; start < parcels.length; start += BATCH_RECORDS) {
      position = await this.#slice(parcels.slice(start, start + BATCH_RECORDS));
    }
    return position;
  }

  async #slice(parcels: readonly Parcel[]): Promise<number> {
    const { publisher } = this.#options;
    const last = parcels.at(-1) as Parcel;
    if (parcels.length === 1) return await publisher.one(last, TRY_MS);
    try {
      return await publisher.batch(parcels, TRY_MS);
    } catch (error) {
      if (numberOf(error) !== CODES.duplicateInBatch) throw error;
    }
    const position = await publisher.find(last, TRY_MS);
    if (position !== undefined) return position;
    return await this.#oneByOne(parcels);
  }

  // A batch can be there in part when its server had no more room for it, or died over it. One at a time keeps the order.
  async #oneByOne(parcels: readonly Parcel[]): Promise<number> {
    let position = 0;
    for (const parcel of parcels) position = await this.#options.publisher.one(parcel, TRY_MS);
    return position;
  }

  #unexpired(group: readonly Pending[]): Pending[] {
    const now = performance.now();
    for (const pending of group) if (now >= pending.until) this.#refuse(pending, undefined);
    return group.filter(({ until }) => now < until);
  }

  // Nothing is sent to a server that does not answer, so that a hung one does not find the same batch many times.
  async #isReady(group: readonly Pending[]): Promise<boolean> {
    const { nats } = this.#options;
    if (nats.isUp()) return true;
    const first = Math.min(...group.map(({ until }) => until));
    if (await nats.untilUp(Math.max(0, first - performance.now()))) return true;
    await delay(AGAIN_MS);
    return false;
  }

  #settle(group: readonly Pending[], last: number): void {
    let position = last - group.reduce((sum, { parcels }) => sum + parcels.length, 0);
    for (const pending of group) {
      position += pending.parcels.length; // the records of an atomic batch are adjacent
      this.#resolve(pending, position);
    }
  }

  #resolve(pending: Pending, position: number): void {
    this.#forget(pending);
    pending.resolve(position);
  }

  #refuse(pending: Pending, cause: unknown): void {
    this.#forget(pending);
    pending.reject(refusalOf(cause));
  }

  #forget(pending: Pending): void {
    this.#pending.delete(pending.batchId);
    this.#heldBytes -= pending.sizeBytes;
  }
}
