import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./ports.ts";
import { standsStill } from "./processes.ts";
import { isMissing, serverProgram } from "./servers.ts";

/** A NATS server of a test. */
export interface NatsServer {
  url: string;
  /** Of the process that runs now. */
  pid: () => number;
  /** SIGKILL resolves when the process is gone, SIGSTOP when it stands still, SIGCONT at once. */
  kill: (signal: NodeJS.Signals) => Promise<void>;
  /** Starts it again on the same folder and port, with other settings where they are given; kills it first where it still runs. */
  restart: (changed?: Pick<NatsServerOptions, "maxStoreBytes">) => Promise<void>;
  /** Ends it and drops the folder that it was given by us. */
  stop: () => Promise<void>;
}

/** How to start one. */
export interface NatsServerOptions {
  /** Where JetStream keeps its files; a fresh folder by default. */
  folder?: string;
  /** A free one by default. */
  port?: number;
  /** Size of JetStream's file store. */
  maxStoreBytes?: number;
  /** Further settings of JetStream. */
  jetstream?: string;
  /** Further lines of its configuration. */
  config?: string;
}

const READY_MS = 10_000;

/** A running server that tests use and do not kill, or undefined. */
export function sharedNatsUrl(): string | undefined {
  return process.env.WAYMARK_TEST_NATS_URL || undefined;
}

/** For `describe.skipIf` of tests that start and kill servers: true, and said on the terminal, when there is no program. */
export function natsMissing(): boolean {
  return isMissing("nats-server", serverProgram("nats-server"));
}

/** For `describe.skipIf` of tests that use any server: true, and said, when there is neither a program nor a server. */
export function anyNatsMissing(): boolean {
  return sharedNatsUrl() === undefined && natsMissing();
}

/** The server of WAYMARK_TEST_NATS_URL, or one of its own. */
export async function anyNats(): Promise<{ url: string; stop: () => Promise<void> }> {
  const url = sharedNatsUrl();
  return url === undefined ? await startNats() : { url, stop: async () => undefined };
}

/** Starts a server with JetStream that syncs each write to the disk. Resolves when it takes connections. */
export async function startNats(options: NatsServerOptions = {}): Promise<NatsServer> {
  const own = options.folder === undefined ? mkdtempSync(join(tmpdir(), "waymark-nats-")) : undefined;
  const folder = options.folder ?? (own as string);
  const port = options.port ?? (await freePort());
  const path = join(folder, "nats.conf");
  writeFileSync(path, configOf({ ...options, folder, port }));
  let child = run(path);
  await ready(port);
  const kill: NatsServer["kill"] = async (signal) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    if (signal === "SIGSTOP") return standsStill(child.pid as number);
    if (signal === "SIGCONT") return;
    if (signal !== "SIGKILL") child.kill("SIGCONT"); // a stopped one would not hear it
    await gone;
  };
  return {
    url: `nats://127.0.0.1:${port}`,
    pid: () => child.pid as number,
    kill,
    restart: async (changed = {}) => {
      await kill("SIGKILL");
      writeFileSync(path, configOf({ ...options, ...changed, folder, port }));
      child = run(path);
      await ready(port);
    },
    stop: async () => {
      await kill("SIGKILL");
      if (own !== undefined) rmSync(own, { recursive: true });
    },
  };
}

/** Starts three servers that know each other, each as `startNats` does. */
export async function startNatsCluster(): Promise<NatsServer[]> {
  const ports = [await freePort(), await freePort(), await freePort()];
  const routes = ports.map((port) => `"nats://127.0.0.1:${port}"`).join(", ");
  const start = (port: number, index: number) =>
    startNats({
      config: `server_name: n${index}\ncluster { name: test, listen: "127.0.0.1:${port}", routes: [${routes}] }`,
    });
  return Promise.all(ports.map(start));
}

function run(path: string) {
  const program = serverProgram("nats-server");
  if (program === undefined) throw new Error("there is no nats-server; ask natsMissing() first");
  const child = spawn(program, ["-c", path], { stdio: "ignore" });
  // A test process that is killed cannot end it any more.
  const watch = 'while kill -0 "$0" && kill -0 "$1"; do sleep 1; done; kill -9 "$1"';
  spawn("sh", ["-c", watch, `${process.pid}`, `${child.pid}`], { stdio: "ignore", detached: true }).unref();
  return child;
}

function configOf(options: NatsServerOptions & { folder: string; port: number }): string {
  const { folder, port, maxStoreBytes, jetstream = "", config = "" } = options;
  const most = maxStoreBytes === undefined ? "" : `max_file_store: ${maxStoreBytes}`;
  const own = [`store_dir: ${JSON.stringify(folder)}`, "sync_interval: always", most, jetstream].join("\n");
  return [`host: 127.0.0.1`, `port: ${port}`, `jetstream {\n${own}\n}`, config, ""].join("\n");
}

// Its files are read before it listens, so who connects finds the stream.
async function ready(port: number): Promise<void> {
  const until = performance.now() + READY_MS;
  for (;;) {
    const socket = connectTcp(port, "127.0.0.1");
    try {
      await once(socket, "data"); // INFO
      return;
    } catch (cause) {
      if (performance.now() > until) throw new Error("nats-server does not start", { cause });
      await delay(20);
    } finally {
      socket.destroy();
    }
  }
}
