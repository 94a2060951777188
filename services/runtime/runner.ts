import type { Log } from "./log.ts";
import type { Alarm } from "./runner/fault.ts";
import { Lease, type LeaseTimes } from "./runner/lease.ts";
import { type LoopOptions, ProjectionLoop } from "./runner/loop.ts";
import { oneByOne } from "./runner/step.ts";
import { openWaiting } from "./runner/waiting.ts";
import type { Background, Projection } from "./service.ts";
import type { Store } from "./store.ts";

const MEASURE_MS = 300;
const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 5000;

/** What to run, and on what. */
export interface RunnerOptions {
  projections: readonly Projection[];
  /** Its models include `poisonModel`; with a lease all of `runnerModels`. */
  store: Store;
  log: Pick<Log, "read" | "head">;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Told some times a second how far each projection is behind. */
  onLag?: (lag: { projection: string; entries: number }) => void;
  /**
   * Where several processes run the same projections: each is run by the one that holds its lease, and moves within 10 s when that
   * one dies. `holder` names this process. Without it this process alone runs them.
   */
  lease?: { holder: string; times?: LeaseTimes };
  /** Told what an operator should know; it must not throw. */
  onError?: (alarm: Alarm) => void;
  /** Milliseconds before repetition 0, 1, 2, … of what failed. By default 100, 400, 1600, 5000, 5000, … */
  backoffMs?: (attempt: number) => number;
}

/**
 * Projections at work. Gauges: `lag.<name>`, at most so many entries behind, whoever runs it; `poison.<name>`, entries set aside;
 * with a lease `held.<name>`, 1 where it is run.
 */
export interface Runner extends Background {
  /** Resolves when every projection has done all that is on the log now, wherever it is run. */
  idle: () => Promise<void>;
  gauges: () => Readonly<Record<string, number>>;
}

/**
 * Runs each projection from its own watermark until stopped. A step that fails is repeated three times, then the entry to blame is
 * looked for and set aside; store or log that do not answer are waited for without end.
 */
export function runProjections(options: RunnerOptions): Runner {
  const { projections, store, log, lease, onLag, onError: alarm = () => {}, backoffMs = defaultBackoffMs } = options;
  const inTurn: LoopOptions["inTurn"] = store.atomicBatch ? oneByOne() : (step) => step();
  const leaseOf = ({ name: projection }: Projection) =>
    lease && new Lease({ ...lease, projection, store, trouble: openWaiting(projection, alarm) });
  const loops = projections.map(
    (projection) =>
      new ProjectionLoop({ ...options, projection, alarm, backoffMs, inTurn, lease: leaseOf(projection) }),
  );
  const lags = new Map(loops.map(({ name }) => [name, 0]));
  let measuring: Promise<void> | undefined;

  const measure = async () => {
    const head = await log.head();
    for (const loop of loops) {
      const entries = await loop.lag(head);
      lags.set(loop.name, entries);
      onLag?.({ projection: loop.name, entries });
    }
  };
  const tick = () => {
    measuring ??= measure()
      .catch(() => {}) // a log that does not answer is the loops' alarm
      .finally(() => {
        measuring = undefined;
      });
  };
  tick();
  const timer = setInterval(tick, MEASURE_MS);
  timer.unref();

  return {
    gauges: () =>
      Object.fromEntries([
        ...loops.map(({ name }) => [`lag.${name}`, lags.get(name) ?? 0]),
        ...loops.map(({ name, poisoned }) => [`poison.${name}`, poisoned]),
        ...(lease === undefined ? [] : loops.map(({ name, isHeld }) => [`held.${name}`, Number(isHeld)])),
      ]),
    idle: async () => {
      const head = await log.head();
      await Promise.all(loops.map((loop) => loop.reach(head)));
    },
    stop: async () => {
      clearInterval(timer);
      await Promise.all([...loops.map((loop) => loop.stop()), measuring]);
    },
  };
}

function defaultBackoffMs(attempt: number): number {
  return Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 4 ** attempt);
}
