import { fail } from "#runtime/failure.ts";
import type { Log } from "#runtime/log.ts";
import { traceparent } from "#runtime/telemetry.ts";
import { type Books, type Outgoing, packTouches, Tallies } from "./records.ts";

/** What one request brings. */
export interface Parcel {
  books: Books;
  touches: readonly Outgoing[];
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

/** What a Recorder stands on. */
export interface RecorderDeps {
  log: Pick<Log, "append">;
  newId: (prefix: string) => string;
  limits?: RecorderLimits;
}

interface Waiting {
  parcel: Parcel;
  sizeBytes: number;
  resolve: (position: number) => void;
  reject: (error: unknown) => void;
}

/**
 * Brings touches onto the log. What comes in one turn of the event loop goes into one append, whatever requests it came
 * with; a parcel is acknowledged when that append is durable. What waits is bounded: beyond that it is shed, and booked so.
 */
export class Recorder {
  readonly #deps: RecorderDeps;
  readonly #limits: RecorderLimits;
  readonly #appends = new Set<Promise<void>>();
  #waiting: Waiting[] = [];
  /** Shed and not yet on the log. */
  #owed = new Tallies();
  #touches = 0;
  #bytes = 0;

  constructor(deps: RecorderDeps) {
    this.#deps = deps;
    this.#limits = deps.limits ?? LIMITS;
  }

  /** Touches and bytes that wait for the log. */
  get depth(): { touches: number; bytes: number } {
    return { touches: this.#touches, bytes: this.#bytes };
  }

  /** Whether so many more touches can be taken. A parcel larger than the queue passes when nothing else waits. */
  hasRoom(touches: number): boolean {
    if (this.#touches === 0) return true;
    return this.#touches + touches <= this.#limits.touches && this.#bytes < this.#limits.bytes;
  }

  /** Books items that were not taken for want of room, and returns the refusal. */
  shed(books: Books, items: number): Error {
    this.#owed.add(books, { shed: items });
    return fail("OVERLOADED");
  }

  /** Resolves with a position of the log at or above all touches of the parcel, when they are durable. */
  put(parcel: Parcel): Promise<number> {
    const { books, touches } = parcel;
    if (!this.hasRoom(touches.length)) return Promise.reject(this.shed(books, itemsOf(parcel)));
    const sizeBytes = touches.reduce((sum, { weight }) => sum + weight, 0);
    this.#touches += touches.length;
    this.#bytes += sizeBytes;
    const trace = traceparent();
    if (trace !== "") for (const outgoing of touches) outgoing.traceparent = trace;
    if (this.#waiting.length === 0) setImmediate(() => this.#append());
    return new Promise((resolve, reject) => this.#waiting.push({ parcel, sizeBytes, resolve, reject }));
  }

  /** Resolves when everything that was put is settled and, if the log can be reached, nothing is owed to the ledger. */
  async flush(): Promise<void> {
    this.#append();
    while (this.#appends.size > 0) await Promise.all(this.#appends);
  }

  #append(): void {
    const group = this.#waiting;
    const owed = this.#owed;
    if (group.length === 0 && owed.isEmpty) return;
    this.#waiting = [];
    this.#owed = new Tallies();
    const append = this.#write(group, owed);
    this.#appends.add(append);
    void append.finally(() => this.#appends.delete(append));
  }

  async #write(group: readonly Waiting[], owed: Tallies): Promise<void> {
    const { log, newId } = this.#deps;
    const refused = new Tallies();
    refused.addAll(owed);
    for (const { parcel } of group) if (hasRefused(parcel)) refused.add(parcel.books, parcel);
    const recordedAt = group.at(-1)?.parcel.books.arrivedAt ?? 0;
    try {
      const touches = [...firstOfEach(group, refused)];
      const records = [...packTouches(touches, recordedAt), ...refused.records()];
      const position = await log.append(records, newId("batch"));
      for (const { resolve } of group) resolve(position);
    } catch (error) {
      this.#owed.addAll(owed);
      for (const { parcel, reject } of group) {
        this.#owed.add(parcel.books, { shed: itemsOf(parcel) });
        reject(error);
      }
    } finally {
      for (const { parcel, sizeBytes } of group) {
        this.#touches -= parcel.touches.length;
        this.#bytes -= sizeBytes;
      }
    }
  }
}

/** The touches of a group, each id once: a record never holds an id twice. The others are booked as duplicates. */
function* firstOfEach(group: readonly Waiting[], refused: Tallies): Iterable<Outgoing> {
  const seen = new Set<string>();
  for (const { parcel } of group) {
    for (const outgoing of parcel.touches) {
      const before = seen.size;
      seen.add(`${parcel.books.workspace}/${outgoing.touch.id}`);
      if (seen.size > before) yield outgoing;
      else refused.add(parcel.books, { duplicate: 1 });
    }
  }
}

function hasRefused({ rejected, duplicate }: Parcel): boolean {
  return duplicate > 0 || Object.keys(rejected).length > 0;
}

function itemsOf({ touches, rejected, duplicate }: Parcel): number {
  return Object.values(rejected).reduce((sum, items) => sum + items, touches.length + duplicate);
}
