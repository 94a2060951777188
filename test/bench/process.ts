import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { caller, freePort } from "../support/waymark.ts";

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
  stop: () => Promise<void>;
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
    rssMb: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) / 1024,
    cpuSeconds: () => cpuSeconds(child),
    stop: () => stop(child, env.WAYMARK_DATA === undefined ? folder : undefined),
  };
}

/** Kernel ticks of processor time in a second. */
const TICKS = 100;

function cpuSeconds({ pid }: ChildProcess): number {
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
