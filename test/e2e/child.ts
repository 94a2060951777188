import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { freePort } from "../support/ports.ts";
import { ADMIN_KEY, type Answer, type Call, caller } from "../support/waymark.ts";
import { eventually } from "./eventually.ts";

/** A Waymark in a process of its own. */
export interface Child {
  call: (method: string, path: string, given?: Call) => Promise<Answer>;
  /** Sends a signal and waits for the end: the exit code, or null when the signal ended it. */
  end: (signal: NodeJS.Signals) => Promise<number | null>;
  /** What it has written so far. */
  output: () => { out: string; err: string };
}

const MAIN = join(import.meta.dirname, "../../services/main.ts");

/** Starts `main.ts all` on a folder and waits until it is ready. */
export async function startChild(folder: string): Promise<Child> {
  const port = await freePort();
  const { process: child, output } = spawnWaymark(folder, port);
  const call = caller(`http://127.0.0.1:${port}`);
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(`it has ended: ${output().err}`);
    const { status } = await call("GET", "/readyz");
    if (status !== 200) throw new Error("it is not ready");
  });
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return ended(child);
  };
  return { call, end, output };
}

/** Starts `main.ts all` on a folder and waits until it ends by itself. */
export async function runChild(folder: string): Promise<{ code: number | null; out: string; err: string }> {
  const { process: child, output } = spawnWaymark(folder, await freePort());
  const code = await ended(child);
  return { code, ...output() };
}

function spawnWaymark(folder: string, port: number) {
  const child = spawn(process.execPath, [MAIN, "all"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH,
      PORT: String(port),
      WAYMARK_HOST: "127.0.0.1",
      WAYMARK_DATA: folder,
      WAYMARK_ADMIN_KEY: ADMIN_KEY,
      WAYMARK_DEMO: "off",
      WAYMARK_RATE_LIMITS: "off",
      WAYMARK_LOG_LEVEL: "warn",
    },
  });
  const texts = { out: "", err: "" };
  child.stdout.on("data", (chunk) => {
    texts.out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    texts.err += chunk;
  });
  return { process: child, output: () => ({ ...texts }) };
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  return new Promise((resolve) => child.once("close", (code) => resolve(code)));
}
