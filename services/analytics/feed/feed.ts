import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import type { LogEntry } from "#runtime/log.ts";
import type { Background, ServiceDeps } from "#runtime/service.ts";
import type { Duck } from "../engine/duck.ts";
import type { Gate } from "../engine/gate.ts";
import { arrivalsOf } from "./arrivals.ts";
import { type Apply, CHANGES, FEED_SUBJECTS, RESTORERS } from "./changes.ts";
import { type Arrived, TYPES, toColumns } from "./columns.ts";
import { onlyCounted } from "./counted.ts";
import { restore } from "./restore.ts";
import { readWatermark, type Watermark } from "./watermark.ts";

/** The most touches of one write, and the entries that one step reads. */
const STEP_TOUCHES = 8_192;
const STEP_ENTRIES = 64;

/** After so many touches, or entries without, other work of this thread has its turn. */
const TURN_TOUCHES = 512;

/** A pause between steps, so that many small entries become one write. Touches are visible within a second. */
const PAUSE_MS = 200;

/** How long to wait after a failure before beginning again at the watermark. */
const AFTER_FAILURE_MS = 1_000;

interface Feeding extends Pick<ServiceDeps, "log" | "client" | "store"> {
  duck: Duck;
  /** Opens when the table has had all that was on the log, so that no answer counts half of it. */
  gate: Gate<Duck>;
  stopping: AbortSignal;
  state: State;
}

interface State {
  /** All up to here is in the table. */
  position: number;
  /** At most so many entries behind. */
  lag: number;
  failures: number;
  unreadable: number;
  /** Touches that were made anew from the documents of scans. */
  restored: number;
}

/**
 * Feeds marketing touches, and what changes about them, from the log into DuckDB. The rows and the watermark are one transaction, so a replay
 * writes nothing twice; whether a touch is the first of its id is asked of the registry in `scans`.
 */
export function startFeed(given: Pick<Feeding, "log" | "client" | "store" | "duck" | "gate">): Background {
  const stop = new AbortController();
  const state: State = { position: 0, lag: 0, failures: 0, unreadable: 0, restored: 0 };
  const running = feed({ ...given, state, stopping: stop.signal });
  return {
    gauges: () => ({ ...state }),
    stop: async () => {
      stop.abort();
      await running;
    },
  };
}

/** Feeds until stopped. Whatever goes wrong, it begins again where the table says. */
async function feed(feeding: Feeding): Promise<void> {
  const { state, stopping, log } = feeding;
  while (!stopping.aborted) {
    try {
      await feedOnce(feeding);
    } catch {
      if (stopping.aborted) return;
      state.failures += 1;
      state.lag = await log.head().then(
        (head) => head - state.position,
        () => state.lag,
      );
      await pause(AFTER_FAILURE_MS, stopping);
    }
  }
}

/** Feeds from the watermark on, until stopped or until the file can be used no longer. */
async function feedOnce(feeding: Feeding): Promise<void> {
  const { duck, gate, log, state, stopping } = feeding;
  if (duck.fault().aborted) gate.close();
  await duck.heal();
  const { position, complete } = await ready(feeding);
  state.position = position;
  const follow = AbortSignal.any([stopping, duck.fault()]);
  if (!complete) await catchUp(feeding, follow);
  if (follow.aborted) return;
  gate.open(duck);
  for await (const entries of log.read({
    after: state.position,
    subjects: FEED_SUBJECTS,
    chunk: STEP_ENTRIES,
    follow,
  })) {
    await step(feeding, entries);
    if (entries.length < STEP_ENTRIES) await pause(PAUSE_MS, follow);
  }
}

/** The watermark; where the log has let go of what comes after it, the tables are first made anew from other services. */
async function ready({ duck, log, client, store, state, stopping }: Feeding): Promise<Watermark> {
  const mark = await readWatermark(duck);
  if (mark.position >= (await log.start())) return mark;
  const onProgress = (touches: number): void => {
    state.restored = touches;
  };
  await restore({ duck, client, store, signal: stopping, restorers: RESTORERS, onProgress });
  return readWatermark(duck);
}

/** Feeds all that is on the log now. */
async function catchUp(feeding: Feeding, signal: AbortSignal): Promise<void> {
  const { duck, log, state } = feeding;
  const head = await log.head();
  const after = state.position;
  if (after < head) {
    for await (const entries of log.read({ after, subjects: FEED_SUBJECTS, chunk: STEP_ENTRIES })) {
      if (signal.aborted) return;
      await step(feeding, entries);
      if (state.position >= head) break;
    }
  }
  await duck.write(({ run }) => run("UPDATE watermark SET complete = true"));
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

/** What the entries of a step are made into: touches that came one after the other, or changes of one subject. */
interface Segment {
  events: Arrived[];
  changes: LogEntry[];
  upTo: number;
  appendedAt: number;
}

async function step(feeding: Feeding, entries: readonly LogEntry[]): Promise<void> {
  const { state, log } = feeding;
  let writing: Promise<void> = Promise.resolve();
  try {
    for await (const segment of segmentsOf(entries, state)) {
      // What others have to say about this segment is asked while the one before is written.
      const [prepared] = await Promise.all([prepare(feeding, segment), writing]);
      writing = write(feeding, prepared);
      writing.catch(() => undefined); // it is awaited by the next turn
    }
  } finally {
    await writing;
  }
  state.lag = entries.length < STEP_ENTRIES ? 0 : (await log.head()) - state.position;
}

/** Cuts a step where touches and changes meet, and where there are many touches; other work has its turn in between. */
async function* segmentsOf(entries: readonly LogEntry[], state: State): AsyncGenerator<Segment> {
  let segment: Segment = { events: [], changes: [], upTo: state.position, appendedAt: 0 };
  let sinceTurn = 0;
  for (const entry of entries) {
    if (sinceTurn >= TURN_TOUCHES) {
      await nextTurn();
      sinceTurn = 0;
    }
    const isChange = entry.subject !== "touches.marketing";
    const { events, unreadable } = isChange ? NOTHING : arrivalsOf(entry);
    sinceTurn += 1 + events.length;
    state.unreadable += unreadable;
    const isFull = segment.events.length > 0 && segment.events.length + events.length > STEP_TOUCHES;
    const isCut = isChange ? segment.events.length > 0 : segment.changes.length > 0;
    const isOther = segment.changes.length > 0 && segment.changes[0]?.subject !== entry.subject;
    if (isFull || isCut || isOther) {
      yield segment;
      segment = { events: [], changes: [], upTo: segment.upTo, appendedAt: segment.appendedAt };
    }
    for (const event of events) segment.events.push(event);
    if (isChange) segment.changes.push(entry);
    segment.upTo = entry.position;
    segment.appendedAt = entry.appendedAt;
  }
  yield segment;
}

const NOTHING = { events: [], unreadable: 0 };

/** A segment with what was asked of others. */
interface Prepared extends Segment {
  counted: readonly Arrived[];
  apply: Apply | undefined;
}

async function prepare(feeding: Feeding, segment: Segment): Promise<Prepared> {
  const { client, store, stopping } = feeding;
  const { events, changes } = segment;
  const reader = changes[0] && CHANGES[changes[0].subject];
  const [counted, apply] = await Promise.all([
    onlyCounted(client, events, stopping),
    reader?.(changes, { client, store, signal: stopping }),
  ]);
  return { ...segment, counted, apply };
}

async function write({ duck, state }: Feeding, { counted, apply, upTo, appendedAt }: Prepared): Promise<void> {
  await duck.write(async (writer) => {
    const slice = (begin: number, end: number) => toColumns(counted.slice(begin, end));
    if (counted.length > 0) await writer.append("events", { types: TYPES, length: counted.length, slice });
    await apply?.(writer);
    await writer.run("UPDATE watermark SET position = $upTo, appended_at = greatest(appended_at, $at)", {
      upTo: BigInt(upTo),
      at: BigInt(Math.floor(appendedAt)),
    });
  });
  state.position = upTo;
}
