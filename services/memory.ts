import { performance } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** How often it is looked whether the process is at rest, and how busy one at rest may be. */
const LOOK_MS = 5_000;
const AT_REST = 0.05;

/**
 * Gives back what loading, compiling and starting have left in the heap, some 20 MB a process: many processes share a machine,
 * and V8 collects old objects only when the heap grows. It happens once, in the first five seconds in which the process has
 * next to nothing to do, since it takes some tens of milliseconds.
 */
export function giveBackMemoryAtRest(): void {
  let since = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, since);
    since = now;
    if (utilization > AT_REST) return;
    clearInterval(timer);
    collect();
  }, LOOK_MS);
  timer.unref();
}

type Collect = (options: { type: "major"; flavor: "last-resort" }) => void;

function collect(): void {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as Collect;
  setFlagsFromString("--no-expose-gc");
  gc({ type: "major", flavor: "last-resort" });
}
