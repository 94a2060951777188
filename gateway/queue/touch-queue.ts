import { readdir } from "node:fs/promises";
import type { TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import { lockFolder } from "#runtime/lock.ts";
import type { Logger } from "#runtime/logger.ts";
import { frameBytes, frameOf, nameOf, type Owner, type Packed, pack, type Unpacked } from "./frame.ts";
import type { Segment } from "./segment.ts";
import * as files from "./segment.ts";

/** A file is closed to new touches from this size on. */
const SEGMENT_BYTES = 1 << 20;
const MOST_BYTES = 64 << 20;

/** What became of a touch: intake has it, or it is left to be sent from here. */
export type Outcome = "taken" | "left";

/** A touch on the disk that somebody still tries to bring by himself. It is settled once. */
export interface Ticket {
  settle: (outcome: Outcome) => void;
}

/** Touches of one file that are nobody's. */
export interface Backlog {
  touches: readonly Unpacked[];
  /** Forgets those that intake has, or never will. */
  forget: (ids: Iterable<string>) => void;
}

/** Where a queue is, and what seals it. */
export interface QueueOptions {
  /** Folder that this queue alone uses. */
  folder: string;
  /** 32 bytes: seals what waits, since touches hold addresses of people. */
  key: Buffer;
  /** The most that it takes on the disk. Default 64 MiB. */
  maxBytes?: number;
  log: Pick<Logger, "warn" | "error">;
}

interface Waiting extends Packed {
  size: number;
  resolve: (ticket: Ticket | undefined) => void;
}

/**
 * Touches that wait on the disk, in files that are only appended to. A touch that was put is there after a crash; touches
 * of one moment go into one write. A file is deleted when intake has acknowledged all in it, so that after a crash some
 * are sent again, under the ids that they had. A torn end of a file is left away, and never stops the start.
 */
export class TouchQueue {
  readonly #options: QueueOptions;
  readonly #lock: { release: () => void };
  readonly #segments = new Set<Segment>();
  #active: Segment | undefined;
  #last = 0;
  #waiting: Waiting[] = [];
  #bytes = 0;
  #touches = 0;
  readonly #waitingOf = new Map<string, number>();
  #isClosed = false;
  /** Files are touched by one after another. */
  #work: Promise<void> = Promise.resolve();

  /** Opens the folder for this process alone, with what is left in it. Throws when another process has it. */
  static async open(options: QueueOptions): Promise<TouchQueue> {
    const lock = lockFolder(options.folder);
    try {
      const queue = new TouchQueue(options, lock);
      for (const number of files.numbersOf(await readdir(options.folder))) await queue.#find(number);
      return queue;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  private constructor(options: QueueOptions, lock: { release: () => void }) {
    this.#options = options;
    this.#lock = lock;
  }

  /** Touches on the disk. */
  get touches(): number {
    return this.#touches;
  }

  /** Touches of one owner on the disk. */
  waiting(owner: Owner): number {
    return this.#waitingOf.get(nameOf(owner)) ?? 0;
  }

  /** Bytes on the disk, or about to be. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Resolves when the touch is on the disk; with undefined when there is no room for it or the disk fails. */
  put(touch: TouchInput, owner: Owner): Promise<Ticket | undefined> {
    const packed = pack(touch, owner);
    const size = frameBytes(packed.bytes.length);
    const { maxBytes = MOST_BYTES } = this.#options;
    if (this.#isClosed || this.#bytes + size > maxBytes) return Promise.resolve(undefined);
    this.#bytes += size;
    return new Promise((resolve) => {
      this.#waiting.push({ ...packed, size, resolve });
      if (this.#waiting.length === 1) void this.#inTurn(() => this.#write());
    });
  }

  /** What waits longest and is nobody's; undefined when there is nothing of that kind now. */
  async next(): Promise<Backlog | undefined> {
    const segments = [...this.#segments].filter(({ pending, held }) => pending.size > held);
    const segment = segments.find(({ held }) => held === 0) ?? segments[0];
    if (segment === undefined) return undefined;
    // What comes now goes into another file, so that this one comes to an end.
    if (segment === this.#active) await this.#inTurn(() => this.#finishActive());
    if (segment.held > 0 || !this.#segments.has(segment)) return undefined;
    return this.#read(segment);
  }

  /** Finishes what is being written, and lets go of the folder. What is left is there for the next start. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#inTurn(() => this.#finishActive());
    this.#lock.release();
  }

  async #find(number: number): Promise<void> {
    const { folder, key, log } = this.#options;
    this.#last = number;
    const segment = files.segmentOf(folder, number);
    try {
      const { touches, goodBytes, allBytes } = await files.contentsOf(segment, key);
      if (goodBytes < allBytes)
        log.warn({ file: segment.path, bytes: allBytes - goodBytes }, "a torn end was left away");
      if (touches.length === 0) return await files.drop(segment);
      segment.bytes = goodBytes;
      this.#bytes += goodBytes;
      this.#segments.add(segment);
      this.#add(
        segment,
        touches.map(({ touch, owner }) => ({ id: touch.id, owner })),
      );
    } catch (error) {
      log.error({ err: error, file: segment.path }, "touches cannot be read and were set aside");
      await files.setAside(segment).catch(() => undefined);
    }
  }

  async #read(segment: Segment): Promise<Backlog | undefined> {
    const { key, log } = this.#options;
    const forget = (ids: Iterable<string>): void => this.#forget(segment, ids);
    try {
      const { touches } = await files.contentsOf(segment, key);
      const found = touches.filter(({ touch }) => segment.pending.has(touch.id));
      if (found.length >= segment.pending.size) return { touches: found, forget };
      throw new Error(`${segment.pending.size - found.length} touches are not in it any more`);
    } catch (error) {
      log.error({ err: error, file: segment.path }, "touches cannot be read and were set aside");
      await this.#inTurn(() => files.setAside(segment));
      this.#leave(segment);
      return undefined;
    }
  }

  async #write(): Promise<void> {
    const group = this.#waiting;
    this.#waiting = [];
    const reserved = group.reduce((sum, { size }) => sum + size, 0);
    try {
      const segment = await this.#writable();
      const frame = frameOf(group, { key: this.#options.key, place: segment.place });
      await files.append(segment, frame);
      this.#bytes += frame.length - reserved;
      segment.held += group.length;
      this.#add(segment, group);
      for (const { id, resolve } of group) resolve(this.#ticket(segment, id));
    } catch (error) {
      this.#bytes -= reserved;
      this.#options.log.error({ err: error, touches: group.length }, "touches could not be written to the disk");
      for (const { resolve } of group) resolve(undefined);
      await this.#finishActive();
    }
  }

  async #writable(): Promise<Segment> {
    if (this.#active !== undefined && this.#active.bytes < SEGMENT_BYTES) return this.#active;
    await this.#finishActive();
    this.#last += 1;
    const segment = files.segmentOf(this.#options.folder, this.#last);
    await files.create(segment, this.#options.folder);
    this.#segments.add(segment);
    this.#active = segment;
    return segment;
  }

  async #finishActive(): Promise<void> {
    const segment = this.#active;
    this.#active = undefined;
    if (segment !== undefined) await this.#tidy(segment);
  }

  /** Gives back the place of a file in which nothing waits any more. */
  async #tidy(segment: Segment): Promise<void> {
    if (segment !== this.#active) await files.finish(segment);
    if (segment.pending.size > 0 || !this.#segments.has(segment)) return;
    const { bytes } = segment;
    if (segment === this.#active) {
      await files.empty(segment);
      this.#bytes -= bytes;
    } else {
      await files.drop(segment);
      this.#leave(segment);
    }
  }

  #ticket(segment: Segment, id: string): Ticket {
    return {
      settle: (outcome) => {
        segment.held -= 1;
        if (outcome === "taken") this.#forget(segment, [id]);
      },
    };
  }

  #add(segment: Segment, touches: Iterable<Pick<Packed, "id" | "owner">>): void {
    for (const { id, owner } of touches) {
      if (!segment.pending.has(id)) this.#count(owner, 1);
      segment.pending.set(id, owner);
    }
  }

  #forget(segment: Segment, ids: Iterable<string>): void {
    const { pending } = segment;
    for (const id of ids) {
      const owner = pending.get(id);
      if (owner !== undefined) this.#count(owner, -1);
      pending.delete(id);
    }
    if (pending.size === 0 && !this.#isClosed) void this.#inTurn(() => this.#tidy(segment));
  }

  #leave(segment: Segment): void {
    if (!this.#segments.delete(segment)) return;
    this.#bytes -= segment.bytes;
    for (const owner of segment.pending.values()) this.#count(owner, -1);
    segment.pending.clear();
  }

  #count(owner: Owner, change: 1 | -1): void {
    this.#touches += change;
    const name = nameOf(owner);
    const waiting = (this.#waitingOf.get(name) ?? 0) + change;
    if (waiting > 0) this.#waitingOf.set(name, waiting);
    else this.#waitingOf.delete(name);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      this.#options.log.error({ err: error }, "a file of waiting touches could not be kept in order");
    });
    return this.#work;
  }
}
