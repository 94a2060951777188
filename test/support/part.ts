import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** One process of a cluster. */
export interface Part {
  role: string;
  /** Where it serves /readyz and /metrics. */
  url: string;
  pid: () => number;
  /** What it has written since it was started last. */
  output: () => string;
  /** Sends a signal; does not wait. */
  signal: (signal: NodeJS.Signals) => void;
  /** Sends a signal and waits for the end: the exit code, or null when the signal ended it. */
  end: (signal: NodeJS.Signals) => Promise<number | null>;
  /** Starts it again after its end, with the same settings. */
  again: () => Promise<void>;
  /** Resolves when it says that it is ready. */
  ready: () => Promise<void>;
}

const ROOT = join(import.meta.dirname, "../..");
/** As `npm run serve` has it. */
const FLAGS = ["--import", join(ROOT, "services/warm.mjs"), "--max-semi-space-size=4"];
const MAIN = join(ROOT, "services/main.ts");
const READY_MS = 60_000;

/** Starts a role and waits until it is ready. */
export async function startPart(given: { role: string; port: number; env: Record<string, string> }): Promise<Part> {
  const { role, port, env } = given;
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess;
  let text = "";
  const spawnIt = (): void => {
    text = "";
    child = spawn(process.execPath, [...FLAGS, MAIN, role], {
      stdio: ["ignore", "pipe", "pipe"],
      env,
    });
    const keep = (chunk: Buffer): void => {
      text = `${text}${chunk}`.slice(-20_000);
    };
    const started = child;
    // A test process that ends early leaves nothing running.
    const end = (): void => void started.kill("SIGKILL");
    process.once("exit", end);
    started.once("exit", () => process.off("exit", end));
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
  };
  const ready = async (): Promise<void> => {
    const until = Date.now() + READY_MS;
    while (!(await isReady(url))) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${role} has ended: ${text}`);
      if (Date.now() > until) throw new Error(`${role} is not ready: ${text}`);
      await delay(50);
    }
  };
  spawnIt();
  await ready();
  return {
    ...{ role, url, ready },
    pid: () => child.pid as number,
    output: () => text,
    signal: (signal) => void child.kill(signal),
    end: (signal) => {
      child.kill(signal);
      return ended(child);
    },
    again: async () => {
      spawnIt();
      await ready();
    },
  };
}

async function isReady(url: string): Promise<boolean> {
  return fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).then(
    async (response) => {
      await response.arrayBuffer();
      return response.ok;
    },
    () => false,
  );
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  return new Promise((resolve) => child.once("close", (code) => resolve(code)));
}
