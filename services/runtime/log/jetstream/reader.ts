import { setImmediate as nextTurn } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import type { JetStreamManager, StreamInfo } from "@nats-io/jetstream";
import type { Log, LogEntry, ReadOptions } from "../../log.ts";
import { unlessLost } from "../../nats/link.ts";
import type { Nats } from "../../nats.ts";
import { fail } from "../reasons.ts";
import { numberOf, refusalOf } from "./fault.ts";
import { Feed } from "./feed.ts";
import { bytesOf, placeOf, type Wanted, wantedBy } from "./subjects.ts";

const CHUNK_ENTRIES = 256;
/** So few entries before the head are fetched as they are: that costs less than a consumer. */
const TAIL_ENTRIES = 64;
const TAIL_BYTES = 4 * 1024 * 1024;
/** A reading to the head that gets nothing for so long gives up. */
const STALL_MS = 5000;
/** How long the servers may be away before a question is refused. */
const AWAY_MS = 2000;
const FIRST_AGAIN_MS = 50;
const LAST_AGAIN_MS = 1000;

/** What a reader works with. */
export interface ReaderOptions {
  nats: Nats;
  manager: JetStreamManager;
  stream: string;
  prefix: string;
  /** When the stream was made: by this it is known again. */
  created: string;
}

/** Readings of the stream that holds a log. */
export interface LogReader extends Pick<Log, "read" | "head" | "start"> {
  /** Ends what follows; what is read after rejects. */
  close: () => void;
}

/** Reads the stream. */
export function openReader(options: ReaderOptions): LogReader {
  const { nats, prefix } = options;
  const closing = new AbortController();
  const state = async () => {
    if (!(await nats.untilUp(AWAY_MS))) throw fail("LOG_UNAVAILABLE", { why: "NATS does not answer" });
    return stateOf(options);
  };
  const head = async () => (await state()).last_seq;
  const start = async () => Math.max(0, (await state()).first_seq - 1);

  async function* read(reading: ReadOptions): AsyncGenerator<LogEntry[]> {
    if (closing.signal.aborted) throw fail("LOG_UNAVAILABLE", { why: "it is closed" });
    const { follow, after, chunk = CHUNK_ENTRIES } = reading;
    const wanted = wantedBy(prefix, reading);
    const stop = stopOf(closing.signal, follow);
    try {
      if (follow !== undefined) yield* followFrom({ ...options, after, chunk, wanted, stop: stop.signal });
      else if (!wanted.isNothing) yield* readTo(await head(), { ...options, after, chunk, wanted, stop: stop.signal });
    } finally {
      stop.release();
    }
  }
  return { read, head, start, close: () => closing.abort() };
}

interface Reading extends ReaderOptions {
  after: number;
  chunk: number;
  wanted: Wanted;
  stop: AbortSignal;
}

async function* followFrom(reading: Reading): AsyncGenerator<LogEntry[]> {
  const { stop, wanted } = reading;
  let { after } = reading;
  let againMs = FIRST_AGAIN_MS;
  if (wanted.isNothing) return await aborted(stop);
  while (!stop.aborted) {
    try {
      for await (const entries of feedFrom({ ...reading, after })) {
        againMs = FIRST_AGAIN_MS;
        after = (entries.at(-1) as LogEntry).position;
        yield entries;
        await nextTurn();
      }
    } catch (error) {
      if (!isAway(error)) throw refusalOf(error);
      await pause(againMs, stop);
      againMs = Math.min(LAST_AGAIN_MS, againMs * 2);
    }
  }
}

/** Entries until the signal aborts; rejects when the consumer fails. */
async function* feedFrom(reading: Reading): AsyncGenerator<LogEntry[]> {
  const { nats, after, stop, wanted } = reading;
  if (!(await nats.untilUp(AWAY_MS, stop))) throw fail("LOG_UNAVAILABLE", { why: "NATS does not answer" });
  const { last_seq: last } = await stateOf(reading);
  if (last < after) throw fail("LOG_LOST", { why: `it ends at ${last}, before ${after}` });
  const feed = new Feed({ ...reading, filters: wanted.filters });
  try {
    await feed.open();
    while (!stop.aborted) {
      const entries = await feed.next(stop);
      if (entries.length > 0) yield entries;
    }
  } finally {
    feed.close();
  }
}

async function* readTo(head: number, reading: Reading): AsyncGenerator<LogEntry[]> {
  let { after } = reading;
  if (after >= head) return;
  if (head - after <= TAIL_ENTRIES) {
    const tail = await tailOf(reading, head);
    const entries = tail.filter(reading.wanted.includes);
    for (let start = 0; start < entries.length; start += reading.chunk)
      yield entries.slice(start, start + reading.chunk);
    after = tail.at(-1)?.position ?? after; // a copy of the stream that lags behind ends early
  }
  if (after < head) yield* consumeTo(head, { ...reading, after });
}

async function* consumeTo(head: number, reading: Reading): AsyncGenerator<LogEntry[]> {
  const feed = new Feed({ ...reading, filters: reading.wanted.filters });
  try {
    await feed.open();
    for (let after = reading.after; after < head && !feed.isAtEnd; ) {
      const entries = await feed.next(reading.stop, STALL_MS);
      if (reading.stop.aborted) throw fail("LOG_UNAVAILABLE", { why: "it is closed" });
      if (entries.length === 0) throw fail("LOG_UNAVAILABLE", { why: "NATS is silent" });
      after = (entries.at(-1) as LogEntry).position;
      const wanted = after <= head ? entries : entries.filter(({ position }) => position <= head);
      if (wanted.length > 0) yield wanted;
    }
  } catch (error) {
    throw refusalOf(error);
  } finally {
    feed.close();
  }
}

/** The entries up to the head, without a consumer and without filters. None when the server does not give them so. */
async function tailOf({ manager, stream, prefix, after }: Reading, head: number): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  try {
    const messages = await manager.direct.getBatch(stream, {
      seq: after + 1,
      batch: head - after,
      max_bytes: TAIL_BYTES,
    });
    for await (const { seq, subject, time, data } of messages) {
      if (seq > head) continue;
      entries.push({ position: seq, ...placeOf(prefix, subject), payload: bytesOf(data), appendedAt: time.getTime() });
    }
  } catch {
    return entries; // what is missing comes through a consumer
  }
  return entries;
}

async function stateOf({ nats, manager, stream, created }: ReaderOptions): Promise<StreamInfo["state"]> {
  try {
    const info = await unlessLost(nats, manager.streams.info(stream));
    if (info.created !== created) throw fail("LOG_LOST", { why: "its stream was made anew" });
    return info.state;
  } catch (error) {
    throw refusalOf(error);
  }
}

function isAway(error: unknown): boolean {
  if (error instanceof ConnectError) return error.code === Code.Unavailable;
  return numberOf(error) === 0 || refusalOf(error).code === Code.Unavailable;
}

/** Aborts with any of the two; released when the reading ends. */
function stopOf(closing: AbortSignal, follow: AbortSignal | undefined): { signal: AbortSignal; release: () => void } {
  const stop = new AbortController();
  const abort = () => stop.abort();
  if (closing.aborted || follow?.aborted === true) abort();
  closing.addEventListener("abort", abort, { once: true });
  follow?.addEventListener("abort", abort, { once: true });
  const release = () => {
    closing.removeEventListener("abort", abort);
    follow?.removeEventListener("abort", abort);
  };
  return { signal: stop.signal, release };
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  if (stop.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    stop.addEventListener("abort", end, { once: true });
  });
}

function aborted(stop: AbortSignal): Promise<void> {
  if (stop.aborted) return Promise.resolve();
  return new Promise((resolve) => stop.addEventListener("abort", () => resolve(), { once: true }));
}
