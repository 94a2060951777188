import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { type Context, context as tracing } from "@opentelemetry/api";
import type { IntakeService, TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { Logger } from "#runtime/logger.ts";
import { redirectQueue, redirectTouches } from "./metrics.ts";

/** Touches of one RecordTouches call at most. */
const BATCH = 1_000;
/** Calls in flight for one workspace at most; what comes meanwhile gathers into the next. */
const CALLS = 4;
const DEADLINE_MS = 5_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** A batch that fails for a reason that waiting does not mend is given up after so many calls. */
const ATTEMPTS = 5;
/** Codes that say nothing about the touches: the same batch can work later. */
const TRANSIENT = new Set([
  Code.Unavailable,
  Code.Aborted,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Canceled,
]);

/** Whose touch it is. */
export interface Owner {
  workspace: string;
  /** Of a code that a development key made. */
  test: boolean;
}

interface Item {
  touch: TouchInput;
  settle: () => void;
  attempts: number;
  trace: Context;
}

interface Lane extends Owner {
  queue: Item[];
  calls: number;
  /** Flushes at the end of this turn. */
  turn: NodeJS.Immediate | undefined;
  /** Flushes after a failure; while it is set, nothing is sent. */
  pause: NodeJS.Timeout | undefined;
  pauseMs: number;
}

/**
 * Brings the touches of redirects to intake, those of one turn of the event loop in one call. A redirect waits for it only
 * shortly: a touch that is not durable then stays here and is sent again under the same id until it is. The queue is
 * bounded; when it is full, touches are shed and counted.
 */
export class Recorder {
  readonly #intake: Client<typeof IntakeService>;
  readonly #log: Pick<Logger, "warn" | "error">;
  readonly #capacity: number;
  readonly #waitMs: number;
  readonly #lanes = new Map<string, Lane>();
  #depth = 0;
  #shed = 0;
  #idle: (() => void) | undefined;

  constructor(options: {
    intake: Client<typeof IntakeService>;
    log: Pick<Logger, "warn" | "error">;
    /** Touches that may wait. */
    capacity?: number;
    /** How long `record` waits. */
    waitMs?: number;
  }) {
    this.#intake = options.intake;
    this.#log = options.log;
    this.#capacity = options.capacity ?? 50_000;
    this.#waitMs = options.waitMs ?? 20;
  }

  /** Touches that are not durable yet. */
  get depth(): number {
    return this.#depth;
  }

  /** Takes a touch, and resolves when it is durable or has waited long enough. Never rejects. */
  record(touch: TouchInput, owner: Owner): Promise<void> {
    if (this.#depth >= this.#capacity) {
      this.#noteShed();
      return Promise.resolve();
    }
    this.#count(1);
    const lane = this.#laneOf(owner);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, lane.pause === undefined ? this.#waitMs : 0);
      const settle = (): void => {
        clearTimeout(timer);
        resolve();
      };
      lane.queue.push({ touch, settle, attempts: 0, trace: tracing.active() });
      lane.turn ??= setImmediate(() => this.#endTurn(lane));
    });
  }

  /** Sends what is left, and resolves when all is durable or the time is over. */
  async close(limitMs: number): Promise<void> {
    for (const lane of this.#lanes.values()) this.#flush(lane);
    if (this.#depth === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle = resolve;
    const timer = setTimeout(resolve, limitMs);
    await promise;
    clearTimeout(timer);
    for (const lane of this.#lanes.values()) clearTimeout(lane.pause);
    if (this.#depth > 0) this.#log.error({ touches: this.#depth }, "touches of redirects were lost at the stop");
  }

  #laneOf({ workspace, test }: Owner): Lane {
    const name = nameOf({ workspace, test });
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const lane: Lane = { workspace, test, queue: [], calls: 0, turn: undefined, pause: undefined, pauseMs: 0 };
    this.#lanes.set(name, lane);
    return lane;
  }

  #endTurn(lane: Lane): void {
    lane.turn = undefined;
    if (lane.pause === undefined) this.#flush(lane);
  }

  #flush(lane: Lane): void {
    clearTimeout(lane.pause);
    lane.pause = undefined;
    while (lane.queue.length > 0 && lane.calls < CALLS) void this.#send(lane, lane.queue.splice(0, BATCH));
    const name = nameOf(lane);
    if (lane.queue.length === 0 && lane.calls === 0 && this.#lanes.get(name) === lane) this.#lanes.delete(name);
  }

  async #send(lane: Lane, items: Item[]): Promise<void> {
    lane.calls += 1;
    try {
      const reply = await tracing.with((items[0] as Item).trace, () => this.#call(lane, items));
      lane.pauseMs = 0;
      redirectTouches.inc({ outcome: "recorded" }, items.length - reply.rejected.length);
      if (reply.rejected.length > 0) redirectTouches.inc({ outcome: "rejected" }, reply.rejected.length);
      this.#finish(items);
    } catch (error) {
      this.#retry(lane, items, error);
    }
    lane.calls -= 1;
    if (lane.pause === undefined) this.#flush(lane);
  }

  #call({ workspace, test }: Lane, items: readonly Item[]) {
    const context = internalContext(workspace);
    const options = as({ ...context, principal: { ...context.principal, test } });
    return this.#intake.recordTouches(
      { touches: items.map(({ touch }) => touch) },
      { ...options, timeoutMs: DEADLINE_MS },
    );
  }

  #retry(lane: Lane, items: Item[], error: unknown): void {
    const code = ConnectError.from(error).code;
    for (const item of items) item.attempts += 1;
    if (!TRANSIENT.has(code) && (items[0] as Item).attempts >= ATTEMPTS) {
      redirectTouches.inc({ outcome: "dropped" }, items.length);
      this.#log.error({ err: error, touches: items.length }, "intake does not take these touches of redirects");
      this.#finish(items);
      return;
    }
    lane.queue.unshift(...items);
    for (const { settle } of lane.queue) settle();
    if (lane.pause !== undefined) return;
    lane.pauseMs = Math.min(LONGEST_PAUSE_MS, lane.pauseMs * 2 || FIRST_PAUSE_MS);
    lane.pause = setTimeout(() => this.#flush(lane), lane.pauseMs);
    this.#log.warn({ code: Code[code], pauseMs: lane.pauseMs }, "intake is not available");
  }

  #finish(items: readonly Item[]): void {
    this.#count(-items.length);
    for (const { settle } of items) settle();
    if (this.#depth === 0) this.#idle?.();
  }

  #count(change: number): void {
    this.#depth += change;
    redirectQueue.set(this.#depth);
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

function nameOf({ workspace, test }: Owner): string {
  return `${workspace}/${test}`;
}
