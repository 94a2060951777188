import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** How long a process may take to stand still after SIGSTOP. */
const STILL_MS = 10_000;

/**
 * Resolves when no thread of the process runs any more, or when it is gone. SIGSTOP reaches the threads of a process
 * one after another: on a busy machine, some of them still answer after the signal was sent.
 */
export async function standsStill(pid: number): Promise<void> {
  for (const until = performance.now() + STILL_MS; statesOf(pid).some((state) => !/[TtZX]/.test(state)); ) {
    if (performance.now() > until) throw new Error(`process ${pid} goes on after SIGSTOP`);
    await delay(1);
  }
}

/** The process and all that descend from it: PostgreSQL's have process groups of their own. */
export function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const parent = /^\d+$/.test(name) ? statOf(`/proc/${name}`)?.parent : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

function statesOf(pid: number): string[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.map((task) => statOf(`/proc/${pid}/task/${task}`)?.state ?? "X");
  } catch {
    return [];
  }
}

/** The words after the name in "/proc/7/stat": "7 (a name) S 1 …". */
function statOf(path: string): { state: string; parent: number } | undefined {
  try {
    const stat = readFileSync(`${path}/stat`, "utf8");
    const [state = "", parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}
