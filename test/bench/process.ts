import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { freePort } from "../support/ports.ts";
import { caller } from "../support/waymark.ts";

/** Admin key of the measured process. */
export const KEY = "bench-admin-key-0123456789abcdef";

const ROOT = join(import.meta.dirname, "../..");

/** What `npm start` runs after "node". */
const START = (packageJson.scripts.start as string).split(" ").slice(1);

/** Waymark in a process of its own, as `npm start` runs it. */
export interface Measured {
  port: number;
  call: ReturnType<typeof caller>;
  /** From spawn to the first answer of /readyz, in milliseconds. */
  startMs: number;
  /** Resident memory of the process, in MB. */
  rssMb: () => number;
  /** Processor time used by the process so far, in seconds. */
  cpuSeconds: () => number;
  /** How many entries each projection is behind, by name. */
  lags: () => Promise<Record<string, number>>;
  stop: () => Promise<void>;
}

/** What /readyz of a process says of its projections. */
export async function lagsAt(url: string): Promise<Record<string, number>> {
  const { body } = await caller(url)("GET", "/readyz");
  const all = Object.entries(body.lag as Record<string, number>);
  return Object.fromEntries(all.filter(([name]) => /(^|\.)lag(\.|$)/.test(name)));
}

/** Starts it on a data folder of its own, which is removed at the end, or on a given one, which stays. */
export async function startMeasured(env: Record<string, string> = {}): Promise<Measured> {
  const port = await freePort();
  const folder = env.WAYMARK_DATA ?? mkdtempSync(join(tmpdir(), "waymark-bench-"));
  const begun = performance.now();
  const child = spawn(process.execPath, [...(process.env.WAYMARK_BENCH_NODE?.split(" ") ?? []), ...START], {
    cwd: ROOT,
    env: {
      ...process.env,
      PORT: String(port),
      WAYMARK_HOST: "127.0.0.1",
      WAYMARK_DATA: folder,
      WAYMARK_ADMIN_KEY: KEY,
      WAYMARK_DEMO: "off",
      WAYMARK_RATE_LIMITS: "off",
      WAYMARK_LOG_LEVEL: "error",
      ...env,
    },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const call = caller(`http://127.0.0.1:${port}`);
  await until(async () => (await call("GET", "/readyz").catch(() => undefined))?.status === 200, child);
  return {
    port,
    call,
    startMs: performance.now() - begun,
    rssMb: () => rssMb(child.pid as number),
    cpuSeconds: () => cpuSeconds(child.pid as number),
    lags: () => lagsAt(`http://127.0.0.1:${port}`),
    stop: () => stop(child, env.WAYMARK_DATA === undefined ? folder : undefined),
  };
}

/** Kernel ticks of processor time in a second. */
const TICKS = 100;

/** Resident memory of a process, in MB. */
export function rssMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Memory of a process in MB, what it shares with others divided by their number. */
export function shareMb(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Processor time that a process has used so far, in seconds. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

async function until(holds: () => Promise<boolean>, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error("Waymark ended while it started");
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("Waymark was not ready in 30 s");
}

async function stop(child: ChildProcess, folder: string | undefined): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}
