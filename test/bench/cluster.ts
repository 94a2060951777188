import { execFileSync } from "node:child_process";
import { startCluster } from "../support/cluster.ts";
import { startMongodb } from "../support/mongodb-server.ts";
import { startNats } from "../support/nats-server.ts";
import { caller } from "../support/waymark.ts";
import { cpuSeconds, KEY, lagsAt, type Measured, rssMb, shareMb } from "./process.ts";

/** Waymark as many processes, one of each, with its servers, all on this machine. */
export interface MeasuredCluster extends Measured {
  /** Resident memory of all processes by role, and of the servers, in MB. */
  memory: () => Record<string, number>;
  /** The same with shared pages counted once, in all. */
  shareMb: () => number;
}

/** Starts servers and processes. NATS syncs each write to the disk. */
export async function startMeasuredCluster(): Promise<MeasuredCluster> {
  const [nats, mongodb] = await Promise.all([startNats(), startMongodb()]);
  const begun = performance.now();
  const given = { natsUrl: nats.url, mongodbUrl: mongodb.url("bench"), adminKey: KEY };
  const cluster = await startCluster({ ...given, env: { WAYMARK_LOG_LEVEL: "error" } });
  const startMs = performance.now() - begun;
  const [url] = cluster.urls as [string];
  const pids = () => cluster.all().map((part) => part.pid());
  const memory = (): Record<string, number> => ({
    ...Object.fromEntries(cluster.all().map((part) => [part.role, rssMb(part.pid())])),
    NATS: rssMb(nats.pid()),
    "MongoDB-protocol server": familyOf(mongodb.pid ?? 0).reduce((sum, pid) => sum + rssMb(pid), 0),
  });
  const all = () => [...pids(), nats.pid(), ...familyOf(mongodb.pid ?? 0)];
  return {
    shareMb: () => all().reduce((sum, pid) => sum + shareMb(pid), 0),
    port: Number(new URL(url).port),
    call: caller(url),
    startMs,
    memory,
    rssMb: () => Object.values(memory()).reduce((sum, mb) => sum + mb, 0),
    cpuSeconds: () => pids().reduce((sum, pid) => sum + cpuSeconds(pid), 0),
    lags: async () => {
      const parts = cluster.all().filter(({ role }) => role !== "gateway");
      return Object.assign({}, ...(await Promise.all(parts.map((part) => lagsAt(part.url)))));
    },
    stop: async () => {
      await cluster.stop();
      await Promise.all([nats.stop(), mongodb.stop()]);
    },
  };
}

/** A process and all that it has started. */
function familyOf(pid: number): number[] {
  const lines = execFileSync("ps", ["-e", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
  const parents = lines.map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  const family = [pid];
  for (const one of family) for (const [child, parent] of parents) if (parent === one) family.push(child);
  return family;
}
