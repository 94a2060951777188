import { type Alarm, faultOf } from "./fault.ts";

/** What was not met for so long is over: repetitions follow each other in less, whatever they wait for. */
const OVER_MS = 30_000;

/** Tells once that something is waited for, until it is over or something else is waited for. */
export interface Waiting {
  for: (error: unknown) => void;
  over: () => void;
}

/** Alarms of one projection that wait for the same belong together. */
export function openWaiting(projection: string, alarm: (alarm: Alarm) => void): Waiting {
  let told: string | undefined;
  let metAt = 0;
  return {
    for: (error) => {
      const fault = faultOf(error);
      const isKnown = fault.error === told && performance.now() - metAt < OVER_MS;
      told = fault.error;
      metAt = performance.now();
      if (!isKnown) alarm({ kind: "waiting", projection, ...fault });
    },
    over: () => {
      told = undefined;
    },
  };
}
