import { trace } from "@opentelemetry/api";
import { fail } from "#runtime/failure.ts";
import type { Log } from "#runtime/log.ts";
import { type Books, recordsOf, type Tallies, tallies } from "./records.ts";

/** A touch, encoded. */
export interface EncodedTouch {
  partition: number;
  /** Key of its record: the code. */
  codeId: string;
  bytes: Uint8Array;
}

/** What one request brings. */
export interface Parcel {
  books: Books;
  touches: readonly EncodedTouch[];
  /** Items that were refused, by reason. */
  rejected: Readonly<Record<string, number>>;
  /** Items whose touch is known already. */
  duplicate: number;
}

/** The most that waits for the log. */
export interface RecorderLimits {
  touches: number;
  bytes: number;
}

const LIMITS: RecorderLimits = { touches: 50_000, bytes: 64 * 1024 * 1024 };

interface Waiting {
  parcel: Parcel;
  sizeBytes: number;
  resolve: (position: number) => void;
  reject: (error: unknown) => void;
}

/** What a Recorder stands on. */
export interface RecorderDeps {
  log: Pick<Log, "append">;
  newId: (prefix: string) => string;
  now: () => number;
  limits?: RecorderLimits;
}

/**
 * Brings touches onto the log. What comes in one turn of the event loop goes into one append, whatever requests it came
 * with; a parcel is acknowledged when that append is durable. What waits is bounded: beyond that it is shed, and booked so.
 */
export class Recorder {
  readonly #deps: RecorderDeps;
  readonly #limits: RecorderLimits;
  #waiting: Waiting[] = [];
  #owed: Tallies = tallies();
  #touches = 0;
  #bytes = 0;
  readonly #appends = new Set<Promise<void>>();

  constructor(deps: RecorderDeps) {
    this.#deps = deps;
    this.#limits = deps.limits ?? LIMITS;
  }

  /** Touches and bytes that wait for the log. */
  get depth(): { touches: number; bytes: number } {
    return { touches: this.#touches, bytes: this.#bytes };
  }

  /** Whether so many more touches can be taken. */
  hasRoom(touches: number): boolean {
    const isEmpty = this.#touches === 0;
    return isEmpty || (this.#touches + touches <= this.#limits.touches && this.#bytes < this.#limits.bytes);
  }

  /** Books items that were not taken for want of room. */
  shed(books: Books, items: number): void {
    this.#owed.add(books, { shed: items });
  }

  /** Resolves with a position of the log at or above all touches of the parcel, when they are durable. */
  put(parcel: Parcel): Promise<number> {
    const { books, touches, duplicate } = parcel;
    if (!this.hasRoom(touches.length)) {
      this.shed(books, itemsOf(parcel));
      return Promise.reject(fail("OVERLOADED"));
    }
    const sizeBytes = touches.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.#touches += touches.length;
    this.#bytes += sizeBytes;
    if (this.#waiting.length === 0) setImmediate(() => void this.flush());
    if (duplicate > 0 || Object.keys(parcel.rejected).length > 0) this.#noteLater(parcel);
    return new Promise((resolve, reject) => this.#waiting.push({ parcel, sizeBytes, resolve, reject }));
  }

  /** Appends what waits and what is owed to the ledger, and resolves when all appends under way are settled. */
  async flush(): Promise<void> {
    const append = this.#append();
    this.#appends.add(append);
    await append;
    this.#appends.delete(append);
    await Promise.all(this.#appends);
  }
}
