import type { Log, LogEntry } from "../log.ts";
import type { Projection } from "../service.ts";
import type { Collection, Store } from "../store.ts";
import { type Alarm, faultOf } from "./fault.ts";
import { pause } from "./pause.ts";
import { type PoisonDoc, poisonOf } from "./poison.ts";
import type { Pace } from "./step.ts";

/** A failing step is repeated so often before one of its entries is looked for to blame. */
export const RETRIES = 3;

/** What steps of one projection work with. */
export interface Work {
  projection: Projection;
  store: Store;
  log: Pick<Log, "read" | "head">;
  now: () => number;
  alarm: (alarm: Alarm) => void;
  /** Tells, once, that the step is repeated without end. */
  waitFor: (error: unknown) => void;
  /** Runs a step when it is this projection's turn. */
  inTurn: <R>(step: () => Promise<R>) => Promise<R>;
  /** Milliseconds before attempt 0, 1, 2, … of a repetition. */
  backoffMs: (attempt: number) => number;
  pace: Pace;
  poisons: Collection<PoisonDoc>;
  /** Tells that the watermark is here now. */
  moved: (watermark: number) => void;
  /** Tells that an entry was set aside. */
  setAside: () => void;
}

/** Does a projection's steps on one kind of store. */
export interface Steps {
  /** Finishes a step that was begun before; resolves with the position to read on from. */
  resume: (stop: AbortSignal) => Promise<number>;
  /** Does the step of these entries, the next ones. Gives up, without having done it, when it may not go on. */
  take: (entries: readonly LogEntry[], stop: AbortSignal) => Promise<void>;
}

/** Notes an entry as set aside. Says so once the note is where it is to stay. */
export async function setAside(
  work: Work,
  entry: LogEntry,
  { error, noted = (note) => note() }: { error: unknown; noted?: (note: () => Promise<void>) => Promise<void> },
): Promise<void> {
  const fault = { projection: work.projection.name, ...faultOf(error) };
  await noted(async () => void (await work.poisons.insert(poisonOf(entry, { ...fault, at: work.now() }))));
  work.setAside();
  work.alarm({ kind: "poison", position: entry.position, subject: entry.subject, ...fault });
}

/** Waits before a repetition. */
export function backOff({ backoffMs }: Work, { attempt, stop }: { attempt: number; stop: AbortSignal }): Promise<void> {
  return pause(backoffMs(attempt), stop);
}
