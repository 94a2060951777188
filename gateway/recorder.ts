import { setTimeout as delay } from "node:timers/promises";
import { type Context, context as tracing } from "@opentelemetry/api";
import type { TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import type { Logger } from "#runtime/logger.ts";
import { BATCH, type IntakeLine } from "./intake-line.ts";
import { redirectTouches } from "./metrics.ts";
import { Drain } from "./queue/drain.ts";
import { nameOf, type Owner } from "./queue/frame.ts";
import type { Outcome, Ticket, TouchQueue } from "./queue/touch-queue.ts";

/** Calls in flight for one workspace at most; what comes meanwhile gathers into the next. */
const CALLS = 4;
/** When a call has taken so long, nobody waits for intake any more before his touch goes to the disk. */
const SLOW_MS = 200;
const POLL_MS = 10;

interface Item {
  touch: TouchInput;
  trace: Context;
  /** Lets the redirect go on. */
  answer: () => void;
  timer: NodeJS.Timeout | undefined;
  /** It is being written to the disk. */
  isStoring: boolean;
  /** It is in a call. */
  isSent: boolean;
  ticket: Ticket | undefined;
  outcome: Outcome | undefined;
}

interface Lane extends Owner {
  queue: Item[];
  /** When each call under way began, the first first. */
  calls: Set<{ at: number }>;
  /** Flushes at the end of this turn. */
  turn: NodeJS.Immediate | undefined;
}

/**
 * Brings the touches of redirects to intake, those of one turn of the event loop in one call. A redirect waits for it only
 * shortly: a touch that is not acknowledged by then is written to the disk, or at once when intake is known to be down,
 * and is sent again under its id until intake has it. When the disk's queue is full, touches are shed and counted.
 */
export class Recorder {
  readonly #line: IntakeLine;
  readonly #queue: TouchQueue;
  readonly #log: Pick<Logger, "warn" | "error">;
  readonly #capacity: number;
  readonly #waitMs: number;
  readonly #drain: Drain;
  readonly #lanes = new Map<string, Lane>();
  #depth = 0;
  #shed = 0;

  constructor(options: {
    line: IntakeLine;
    queue: TouchQueue;
    log: Pick<Logger, "warn" | "error">;
    /** Touches that may wait for the acknowledgement of intake in memory. */
    capacity?: number;
    /** How long a redirect waits for it. */
    waitMs?: number;
  }) {
    this.#line = options.line;
    this.#queue = options.queue;
    this.#log = options.log;
    this.#capacity = options.capacity ?? 50_000;
    this.#waitMs = options.waitMs ?? 20;
    this.#drain = new Drain(options);
    this.#drain.kick();
  }

  /** Touches that intake has not acknowledged yet: in memory or on the disk. */
  get depth(): number {
    return this.#depth + this.#queue.touches;
  }

  /** Takes a touch, and resolves when intake or the disk has it, or neither can. Never rejects. */
  record(touch: TouchInput, owner: Owner): Promise<void> {
    if (this.#depth >= this.#capacity) {
      this.#noteShed();
      return Promise.resolve();
    }
    this.#depth += 1;
    const { promise, resolve } = Promise.withResolvers<void>();
    const item: Item = {
      ...{ touch, trace: tracing.active(), answer: resolve, timer: undefined },
      ...{ isStoring: false, isSent: false, ticket: undefined, outcome: undefined },
    };
    if (this.#isBlocked(owner)) {
      item.outcome = "left";
      void this.#store(item, owner);
      return promise;
    }
    const lane = this.#laneOf(owner);
    // After a turn: when this process was held up, the acknowledgement may be there and only not have been read.
    item.timer = setTimeout(() => setImmediate(() => this.#endWait(item, owner)), this.#waitMs);
    lane.queue.push(item);
    lane.turn ??= setImmediate(() => this.#endTurn(lane));
    return promise;
  }

  /** Brings what waits, and resolves when intake has all or the time is over. What is left then is on the disk for the next start. */
  async close(limitMs: number): Promise<void> {
    const until = performance.now() + limitMs;
    this.#drain.kick();
    while (this.depth > 0 && performance.now() < until) await delay(POLL_MS);
    this.#drain.stop();
    await this.#queue.close();
    if (this.#queue.touches > 0)
      this.#log.warn({ touches: this.#queue.touches }, "touches of redirects wait on the disk for the next start");
    if (this.#depth > 0) this.#log.error({ touches: this.#depth }, "touches of redirects were lost at the stop");
  }

  /** Intake is down, or so slow that waiting for it is in vain. While the disk has something to try it with, nothing else does. */
  #isBlocked(owner: Owner): boolean {
    if (this.#line.isDown) return this.#line.pauseMs > 0 || this.#queue.touches > 0;
    const [oldest] = this.#lanes.get(nameOf(owner))?.calls ?? [];
    return oldest !== undefined && performance.now() - oldest.at > SLOW_MS;
  }

  #laneOf({ workspace, test }: Owner): Lane {
    const name = nameOf({ workspace, test });
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const lane: Lane = { workspace, test, queue: [], calls: new Set(), turn: undefined };
    this.#lanes.set(name, lane);
    return lane;
  }

  #endTurn(lane: Lane): void {
    lane.turn = undefined;
    while (lane.queue.length > 0 && lane.calls.size < CALLS) {
      const items = lane.queue.splice(0, BATCH).filter(({ outcome }) => outcome === undefined);
      if (items.length > 0) void this.#send(lane, items);
    }
    if (lane.queue.length === 0 && lane.calls.size === 0) this.#lanes.delete(nameOf(lane));
  }

  async #send(lane: Lane, items: readonly Item[]): Promise<void> {
    const call = { at: performance.now() };
    lane.calls.add(call);
    for (const item of items) item.isSent = true;
    let outcome: Outcome = "taken";
    try {
      const touches = items.map(({ touch }) => touch);
      await tracing.with((items[0] as Item).trace, () => this.#line.bring(touches, lane));
    } catch {
      outcome = "left";
    }
    for (const item of items) this.#settle(item, outcome, lane);
    lane.calls.delete(call);
    if (lane.turn === undefined) this.#endTurn(lane);
  }

  #settle(item: Item, outcome: Outcome, owner: Owner): void {
    item.outcome = outcome;
    if (item.ticket !== undefined) this.#hand(item.ticket, outcome);
    else if (outcome === "left" && !item.isStoring) void this.#store(item, owner);
    else if (outcome === "taken") this.#end(item);
  }

  #endWait(item: Item, owner: Owner): void {
    if (item.outcome === undefined && !item.isStoring) void this.#store(item, owner);
  }

  /** Writes the touch to the disk, and lets the redirect go on then. Intake may acknowledge it meanwhile. */
  async #store(item: Item, { workspace, test }: Owner): Promise<void> {
    clearTimeout(item.timer);
    item.isStoring = true;
    const ticket = await this.#queue.put(item.touch, { workspace, test });
    item.isStoring = false;
    if (ticket === undefined) {
      if (item.outcome === "left") {
        this.#noteShed();
        this.#end(item);
      }
    } else {
      if (item.outcome !== "taken") this.#end(item);
      item.ticket = ticket;
      // Not in a call yet: it need not be, since it can be sent from the disk.
      if (!item.isSent) item.outcome ??= "left";
      if (item.outcome !== undefined) this.#hand(ticket, item.outcome);
    }
    item.answer();
  }

  #hand(ticket: Ticket, outcome: Outcome): void {
    ticket.settle(outcome);
    if (outcome === "left") this.#drain.kick();
  }

  /** It is no longer in memory alone. */
  #end(item: Item): void {
    clearTimeout(item.timer);
    item.answer();
    this.#depth -= 1;
  }

  /** Tells of shed touches once a second at most. */
  #noteShed(): void {
    redirectTouches.inc({ outcome: "shed" });
    if (this.#shed++ > 0) return;
    setTimeout(() => {
      this.#log.warn({ touches: this.#shed }, "touches of redirects were shed: the queue is full");
      this.#shed = 0;
    }, 1_000).unref();
  }
}
