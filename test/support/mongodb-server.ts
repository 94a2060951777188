import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./ports.ts";
import { standsStill, treeOf } from "./processes.ts";
import { serverProgram } from "./servers.ts";

/** A server that speaks MongoDB's protocol, for tests. */
export interface MongodbServer {
  /** The address of a database on it. Take a fresh name for each test. */
  url: (database: string) => string;
  /** Undefined when the server is not ours. */
  pid: number | undefined;
  /** Sends the signal to every process of the server at once: SIGKILL is a crash, SIGSTOP a machine that hangs. */
  kill: (signal: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM") => Promise<void>;
  /** Starts it again with the same data and port, after it has died. */
  restart: () => Promise<void>;
  stop: () => Promise<void>;
}

/** How long a server may take to start or to end. */
const LIMIT_MS = 60_000;

/** True when there is no such server here; says why once, for `describe.skipIf`. */
export function mongodbMissing(): Promise<boolean> {
  missing ??= findCommand().then(
    () => false,
    (error: Error) => {
      process.stderr.write(
        "skipped: these tests need a MongoDB server; name one in WAYMARK_TEST_MONGODB_URL, put mongod on PATH " +
          `or let mongodb-memory-server download one (${error.message.split("\n", 1)[0]})\n`,
      );
      return true;
    },
  );
  return missing;
}

let missing: Promise<boolean> | undefined;

/** Starts a server of its own, or uses the one that WAYMARK_TEST_MONGODB_URL names. `folder` keeps its data; it is not removed. */
export async function startMongodb(options: { folder?: string; port?: number } = {}): Promise<MongodbServer> {
  const given = process.env.WAYMARK_TEST_MONGODB_URL;
  if (given !== undefined && given !== "") return borrowed(given);
  const command = await findCommand();
  const port = options.port ?? (await freePort());
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "waymark-mongodb-"));
  let child = await start(command, { folder, port });
  const url = (database: string) => `mongodb://127.0.0.1:${port}/${database}`;
  const server: MongodbServer = {
    url,
    pid: child.pid,
    kill: (signal) => signalAll(child, signal),
    restart: async () => {
      await ended(child);
      child = await start(command, { folder, port });
      server.pid = child.pid;
    },
    stop: async () => {
      if (isAlive(child)) {
        await signalAll(child, "SIGCONT");
        child.kill("SIGTERM");
        await ended(child);
      }
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
  return server;
}

/** The arguments of a server for a folder and a port. */
type Command = (place: Place) => readonly [program: string, ...args: string[]];

interface Place {
  folder: string;
  port: number;
}

async function findCommand(): Promise<Command> {
  if (process.env.WAYMARK_TEST_MONGODB_URL) return () => ["true"];
  const ferretdb = serverProgram("mongodb-protocol/start");
  if (ferretdb !== undefined)
    return ({ folder, port }) => [ferretdb, "--port", `${port}`, "--data", folder, "--with-parent"];
  const mongod = serverProgram("mongod") ?? (await downloadMongod());
  return ({ folder, port }) => [mongod, "--dbpath", folder, "--port", `${port}`, "--bind_ip", "127.0.0.1", "--quiet"];
}

async function downloadMongod(): Promise<string> {
  const { MongoBinary } = await import("mongodb-memory-server-core/lib/util/MongoBinary.js");
  return MongoBinary.getPath();
}

/** A server that others run: it is not killed, and keeps what tests wrote. */
function borrowed(given: string): MongodbServer {
  const refuse = async () => {
    throw new Error("the server of WAYMARK_TEST_MONGODB_URL is not ours to kill");
  };
  const [, base = given, options = ""] = /^(mongodb(?:\+srv)?:\/\/[^/?]+)\/?[^?]*(\?.*)?$/.exec(given) ?? [];
  const url = (database: string) => `${base}/${database}${options}`;
  return { url, pid: undefined, kill: refuse, restart: refuse, stop: async () => undefined };
}

async function start(command: Command, place: Place): Promise<ChildProcess> {
  mkdirSync(place.folder, { recursive: true });
  const [program, ...args] = command(place);
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said = `${said}${chunk}`.slice(-2_000);
  });
  child.on("error", (error) => {
    said += error.message;
  });
  for (const until = Date.now() + LIMIT_MS; !(await connects(place.port)); await delay(50)) {
    if (isAlive(child) && Date.now() < until) continue;
    child.kill("SIGTERM");
    throw new Error(`the MongoDB server did not start: ${said}`);
  }
  return child;
}

/** Not the one beside `startWaymark`, which would bring all services into a test of the store alone. */
function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (isOpen: boolean) => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}

function isAlive({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null;
}

async function ended(child: ChildProcess): Promise<void> {
  for (const until = Date.now() + LIMIT_MS; isAlive(child) && Date.now() < until; ) await delay(20);
  if (isAlive(child)) throw new Error("the MongoDB server did not end");
}

/** All processes of a server stand still first, so that none of them can react to the end of another. */
async function signalAll(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (!isAlive(child)) return;
  const pids = treeOf(child.pid as number);
  if (signal === "SIGKILL") for (const pid of pids) send(pid, "SIGSTOP");
  for (const pid of pids) send(pid, signal);
  if (signal === "SIGSTOP") await Promise.all(pids.map(standsStill));
  if (signal !== "SIGKILL" && signal !== "SIGTERM") return;
  await ended(child);
  for (const until = Date.now() + LIMIT_MS; pids.some((pid) => send(pid, 0)) && Date.now() < until; ) await delay(20);
}

/** False when the process is gone. */
function send(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    return false;
  }
}
