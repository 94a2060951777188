import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./ports.ts";
import { isMissing, serverProgram } from "./servers.ts";

/** A Kubernetes with one node, for tests. */
export interface Kubernetes {
  kubectl: (...words: string[]) => Promise<string>;
  helm: (...words: string[]) => Promise<string>;
  /** Makes an image out of a folder with a Dockerfile and loads it into the node. */
  build: (image: string, folder: string) => Promise<void>;
  /** Ends it, unless it ran before. */
  down: () => Promise<void>;
}

/** The address at which pods reach servers of this machine. */
const HOST = "10.99.0.1";

const UP = "kubernetes/up";

/** For `describe.skipIf`: true, and said on the terminal, where no cluster can be started. */
export function kubernetesMissing(): boolean {
  if (isMissing(UP, serverProgram(UP))) return true;
  if (process.getuid?.() === 0) return false;
  process.stderr.write("skipped: these tests need root, to start a Kubernetes of their own\n");
  return true;
}

/** Starts it, or takes the one that runs. */
export async function startKubernetes(): Promise<Kubernetes> {
  const up = serverProgram(UP);
  if (up === undefined) throw new Error("there is no kubernetes/up; ask kubernetesMissing() first");
  const { stdout, stderr } = await run(up, [], { limitMs: 120_000 });
  const env = { ...process.env, ...variables(stdout) };
  const image = up.replace(/up$/, "image");
  return {
    kubectl: async (...words) => (await run("kubectl", words, { env })).stdout,
    helm: async (...words) => (await run("helm", words, { env })).stdout,
    build: async (name, folder) => {
      await run(image, ["base"], { limitMs: 300_000 });
      await run(image, ["build", name, folder], { limitMs: 300_000 });
    },
    down: async () => {
      if (!stderr.includes("already up")) await run(up.replace(/up$/, "down"), []);
    },
  };
}

/** Variables of a line that a shell would evaluate: `export A=/x PATH="/y:$PATH"`. */
function variables(line: string): Record<string, string> {
  const pairs = [...line.matchAll(/([A-Z]+)="?([^"\s]+)"?/g)];
  return Object.fromEntries(
    pairs.map(([, name, value]) => [name, value?.replace("$PATH", process.env.PATH ?? "")] as [string, string]),
  );
}

interface RunOptions {
  env?: NodeJS.ProcessEnv;
  limitMs?: number;
}

function run(
  program: string,
  words: readonly string[],
  { env = process.env, limitMs = 150_000 }: RunOptions = {},
): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const options = { env, timeout: limitMs, maxBuffer: 32 * 1024 * 1024, encoding: "utf8" } as const;
    execFile(program, words, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr });
      else reject(new Error(`${program} ${words.join(" ")}: ${stderr || stdout || error.message}`, { cause: error }));
    });
  });
}

/** Kills the Node processes of a pod from outside, as a machine without memory does. The pod starts them again by itself. */
export function killProcesses(uid: string): void {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isOf(name, uid));
  if (pids.length === 0) throw new Error(`the pod ${uid} has no process here`);
  for (const pid of pids) process.kill(Number(pid), "SIGKILL");
}

function isOf(pid: string, uid: string): boolean {
  try {
    const isInside = readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(`pod${uid}`);
    return isInside && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("services/main.ts");
  } catch {
    return false;
  }
}

/** NATS and MongoDB where pods reach them. */
export interface Servers {
  natsUrl: string;
  mongodbUrl: string;
  stop: () => Promise<void>;
}

/** True, and said on the terminal, where there are no such servers. */
export function serversMissing(): boolean {
  const [nats, mongodb] = ["nats-server", "mongodb-protocol/start"];
  return isMissing(nats, serverProgram(nats)) || isMissing(mongodb, serverProgram(mongodb));
}

/** Starts both beside the cluster, after it: their address is one of its own. */
export async function startServers(): Promise<Servers> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-servers-"));
  const [nats, mongodb] = [await freePort(), await freePort()];
  const config = `host: ${HOST}\nport: ${nats}\njetstream { store_dir: "${folder}/nats", sync_interval: always }\n`;
  writeFileSync(join(folder, "nats.conf"), config);
  const stops = [
    start("nats-server", ["-c", join(folder, "nats.conf")]),
    start("mongodb-protocol/start", [
      ...["--port", `${mongodb}`, "--data", join(folder, "mongodb"), "--bind", HOST, "--with-parent"],
    ]),
  ];
  const stop = async (): Promise<void> => {
    await Promise.all(stops.map((end) => end()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all([answers(nats), answers(mongodb)]);
  } catch (error) {
    await stop();
    throw error;
  }
  return { natsUrl: `nats://${HOST}:${nats}`, mongodbUrl: `mongodb://${HOST}:${mongodb}/waymark`, stop };
}

/** Starts a program; returns how to end it. */
function start(name: string, words: readonly string[]): () => Promise<void> {
  const child = spawn(serverProgram(name) as string, words, { stdio: "ignore" });
  const end = (): boolean => child.kill("SIGTERM");
  process.once("exit", end);
  return async () => {
    process.off("exit", end);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    end();
    await gone;
  };
}

async function answers(port: number): Promise<void> {
  for (const until = Date.now() + 60_000; ; await delay(50)) {
    const socket = connect(port, HOST);
    try {
      await once(socket, "connect");
      return;
    } catch (cause) {
      if (Date.now() > until) throw new Error(`nothing answers at ${HOST}:${port}`, { cause });
    } finally {
      socket.destroy();
    }
  }
}
