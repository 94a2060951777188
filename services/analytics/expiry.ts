import { setTimeout as delay } from "node:timers/promises";
import type { Background } from "#runtime/service.ts";
import type { Duck } from "./engine/duck.ts";
import type { Gate } from "./engine/gate.ts";
import { keptSince } from "./scope.ts";
import type { SettingsOf } from "./settings.ts";

/** How often old events are looked for, and how long after a failure. */
const EVERY_MS = 60 * 60 * 1_000;
const AFTER_FAILURE_MS = 60_000;

/** Events of one delete, and the pause before the next: what is new is written in between. */
const STEP_EVENTS = 10_000;
const PAUSE_MS = 200;

/** Workspaces that one look fetches. */
const WORKSPACES = 1_000;

/** What old events are told by. */
export interface Expiring {
  duck: Duck;
  settingsOf: SettingsOf;
  /** Milliseconds since 1970. */
  now: () => number;
  signal: AbortSignal;
}

/**
 * Deletes events that are older than their workspace keeps them. No question sees them from the moment they are too old;
 * this frees their place, slowly. Nothing is noted of them: whoever follows changes is told since when events are kept.
 */
export function startExpiry(given: Pick<Expiring, "settingsOf" | "now"> & { engine: Gate<Duck> }): Background {
  const stopping = new AbortController();
  const state = { expired: 0 };
  const running = loop({ ...given, state, signal: stopping.signal });
  return {
    gauges: () => ({ ...state }),
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

type Looping = Omit<Expiring, "duck"> & { engine: Gate<Duck>; state: { expired: number } };

async function loop({ engine, state, ...given }: Looping): Promise<void> {
  const { signal } = given;
  const onStep = (events: number): void => {
    state.expired += events;
  };
  while (!signal.aborted) {
    let next = EVERY_MS;
    try {
      await expire({ ...given, duck: await engine.pass(signal) }, onStep);
    } catch {
      next = AFTER_FAILURE_MS;
    }
    await pause(next, signal);
  }
}

/**
 * Deletes what is too old now, of one workspace after the other. `onStep` is told how many events each step has deleted.
 * Trouble with one workspace does not keep the others from their turn; it is thrown when all had theirs.
 */
export async function expire(expiring: Expiring, onStep: (events: number) => void = () => {}): Promise<void> {
  const { duck, signal } = expiring;
  const troubles: unknown[] = [];
  const sql = `SELECT workspace, min(scanned_at) AS oldest FROM events WHERE workspace > $after
    GROUP BY workspace ORDER BY workspace LIMIT ${WORKSPACES}`;
  for (let after = "", size = WORKSPACES; size === WORKSPACES; ) {
    const found = await duck.rows(sql, { after }, signal);
    for (const row of found) {
      signal.throwIfAborted();
      after = String(row.workspace);
      const given = { workspace: after, oldest: Number(row.oldest), onStep };
      await expireOne(expiring, given).catch((error) => troubles.push(error));
    }
    size = found.length;
  }
  if (troubles.length > 0) throw troubles[0];
}

/** Asks for the settings before each step, so that nothing more goes once a workspace wants to keep more. */
async function expireOne(
  { duck, settingsOf, now, signal }: Expiring,
  { workspace, oldest, onStep }: { workspace: string; oldest: number; onStep: (events: number) => void },
): Promise<void> {
  for (let left = STEP_EVENTS; left === STEP_EVENTS; await pause(PAUSE_MS, signal)) {
    signal.throwIfAborted();
    const floor = keptSince((await settingsOf(workspace)).scansDays, now());
    if (floor === undefined || oldest >= floor) return;
    const params = { workspace, floor: BigInt(Math.floor(floor)) };
    const old = `SELECT rowid FROM events WHERE workspace = $workspace AND scanned_at < $floor LIMIT ${STEP_EVENTS}`;
    const [row] = await duck.rows(`SELECT count(*) AS n FROM (${old})`, params, signal);
    left = Number(row?.n ?? 0);
    if (left === 0) return;
    await duck.write(({ run }) => run(`DELETE FROM events WHERE rowid IN (${old})`, params));
    onStep(left);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
