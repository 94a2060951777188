import { AckPolicy, DeliverPolicy, type JetStreamManager } from "@nats-io/jetstream";
import { createInbox, type Msg, nuid, type Subscription } from "@nats-io/transport-node";
import type { LogEntry } from "../../log.ts";
import { unlessLost } from "../../nats/link.ts";
import type { Nats } from "../../nats.ts";
import { fail } from "../reasons.ts";
import { bytesOf, placeOf } from "./subjects.ts";

const NANOS = 1_000_000;
/** A pull stays open so long; then the next one takes its place. */
const PULL_MS = 30_000;
/** While a pull is open and there is nothing to send, the server says so this often. */
const HEARTBEAT_MS = 2000;
/** Heard of nothing for so long, the consumer is made anew. */
const SILENCE_MS = 5000;
/** The server drops the consumer of a process that is gone. */
const UNUSED_MS = 60_000;
/** A pull and a chunk end about here even if they have fewer entries. */
const CHUNK_BYTES = 4 * 1024 * 1024;

/** Where a feed begins, and what passes. */
export interface FeedOptions {
  nats: Nats;
  manager: JetStreamManager;
  stream: string;
  prefix: string;
  /** Begins with the first entry above this position. */
  after: number;
  /** Subjects of NATS; empty: everything. */
  filters: readonly string[];
  /** At most so many entries at once. */
  chunk: number;
}

/**
 * One consumer of the stream, in order and without a gap until it fails; then the reader opens the next one behind the last
 * entry that it has given on. Entries are pulled, at most a chunk ahead of the reader: the client's own `consume` pulls on
 * whether the reader keeps up or not.
 */
export class Feed {
  readonly #options: FeedOptions;
  readonly #consumer = `waymark_${nuid.next()}`;
  readonly #inbox: string;
  #subscription: Subscription | undefined;
  #stopListening = () => {};
  #watch: NodeJS.Timeout | undefined;
  #entries: LogEntry[] = [];
  /** What the open pull may still bring. */
  #open = 0;
  #delivered = 0;
  #heardAt = 0;
  #broken: Error | undefined;
  #wake = () => {};
  #remaining = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#inbox = createInbox();
  }

  /** True when nothing waits behind the last entry taken, as far as the server has told. */
  get isAtEnd(): boolean {
    return this.#entries.length === 0 && this.#remaining === 0;
  }

  /** Makes the consumer. Rejects when the server does not. */
  async open(): Promise<void> {
    const { nats, manager, stream, after, filters } = this.#options;
    this.#stopListening = nats.onLost(() => this.#break("the connection was lost"));
    const making = manager.consumers.add(stream, {
      name: this.#consumer,
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: after + 1,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: UNUSED_MS * NANOS,
      ...(filters.length > 0 && { filter_subjects: [...filters] }),
    });
    this.#remaining = (await unlessLost(nats, making)).num_pending;
    this.#subscription = nats.connection.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (error === null) this.#hearAll(message);
        else this.#break("NATS does not let this user read");
      },
    });
    this.#heardAt = performance.now();
    this.#watch = setInterval(() => this.#lookForSilence(), 1000);
  }

  /** The next entries; none when the signal aborts or the time is over. Rejects when the feed has failed. */
  async next(signal: AbortSignal, timeoutMs?: number): Promise<LogEntry[]> {
    if (this.#broken !== undefined) throw this.#broken;
    this.#pull();
    if (this.#entries.length === 0) await this.#news(signal, timeoutMs);
    if (this.#entries.length === 0 && this.#broken !== undefined) throw this.#broken;
    const entries = this.#entries.splice(0, lengthOfChunk(this.#entries, this.#options.chunk));
    this.#pull(); // ahead, while the reader is at work
    return entries;
  }

  /** Drops the consumer, without waiting. */
  close(): void {
    clearInterval(this.#watch);
    this.#stopListening();
    this.#wake();
    if (this.#subscription === undefined) return;
    this.#subscription.unsubscribe();
    const { nats, stream } = this.#options;
    if (nats.isUp()) nats.connection.publish(`$JS.API.CONSUMER.DELETE.${stream}.${this.#consumer}`);
  }

  // A pull is asked for when the one before has ended, so never more than one is open.
  #pull(): void {
    const { nats, stream, chunk } = this.#options;
    if (this.#open > 0 || this.#entries.length >= chunk || this.#broken !== undefined) return;
    this.#open = chunk;
    this.#heardAt = performance.now();
    const most = Math.max(CHUNK_BYTES, 2 * (nats.connection.info?.max_payload ?? 0));
    const pull = { batch: chunk, max_bytes: most, expires: PULL_MS * NANOS, idle_heartbeat: HEARTBEAT_MS * NANOS };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${this.#consumer}`;
    nats.connection.publish(subject, JSON.stringify(pull), { reply: this.#inbox });
  }

  #news(signal: AbortSignal, timeoutMs: number | undefined): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        this.#wake = () => {};
        resolve();
      };
      const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs);
      signal.addEventListener("abort", wake, { once: true });
      this.#wake = wake;
    });
  }

  #hearAll(message: Msg): void {
    this.#heardAt = performance.now();
    const delivery = deliveryOf(message.reply);
    if (delivery !== undefined) this.#take(message, delivery);
    else this.#hear(message.headers?.code ?? 0, message.headers?.description ?? "");
  }

  #take({ subject, data }: Msg, { position, appendedAt, delivery, remaining }: Delivery): void {
    if (this.#broken !== undefined) return;
    this.#delivered += 1;
    if (delivery !== this.#delivered) {
      this.#break("a message was lost on its way");
      return;
    }
    this.#open -= 1;
    this.#remaining = remaining;
    this.#entries.push({ position, ...placeOf(this.#options.prefix, subject), payload: bytesOf(data), appendedAt });
    this.#wake();
  }

  // 100: still there. 404, 408 and 409 for size end a pull; whatever else the server says, this consumer serves no more.
  #hear(code: number, description: string): void {
    if (code === 100) return;
    const isEnd = code === 404 || code === 408 || (code === 409 && /max ?bytes|batch completed/i.test(description));
    this.#open = 0;
    if (isEnd) this.#pull();
    else this.#break("its consumer is gone");
  }

  #lookForSilence(): void {
    if (this.#open > 0 && performance.now() - this.#heardAt > SILENCE_MS) this.#break("NATS is silent");
  }

  #break(why: string): void {
    this.#broken ??= fail("LOG_UNAVAILABLE", { why });
    this.#wake();
  }
}

/** What the server says of an entry. */
interface Delivery {
  position: number;
  /** Counts what this consumer has sent. */
  delivery: number;
  appendedAt: number;
  /** Entries that wait behind this one. */
  remaining: number;
}

// $JS.ACK.<stream>.<consumer>.<tries>.<position>.<delivery>.<nanoseconds>.<remaining>; two words may stand before the stream.
function deliveryOf(reply: string | undefined): Delivery | undefined {
  if (reply === undefined || !reply.startsWith("$JS.ACK.")) return undefined;
  const words = reply.split(".");
  const start = words.length > 9 ? 7 : 5;
  const [position, delivery, nanos, remaining] = words.slice(start, start + 4) as [string, string, string, string];
  return {
    position: Number(position),
    delivery: Number(delivery),
    appendedAt: Number(nanos.slice(0, -6)),
    remaining: Number(remaining),
  };
}

function lengthOfChunk(entries: readonly LogEntry[], most: number): number {
  let sizeBytes = 0;
  for (const [index, { payload }] of entries.entries()) {
    sizeBytes += payload.byteLength;
    if (index + 1 >= most || sizeBytes >= CHUNK_BYTES) return index + 1;
  }
  return entries.length;
}
