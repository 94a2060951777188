import { createHash, randomUUID } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { openJetStreamLog } from "#runtime/log.jetstream.ts";
import type { Log } from "#runtime/log.ts";
import { openNats } from "#runtime/nats.ts";
import { runnerModels } from "#runtime/runner/models.ts";
import { openMongoStore } from "#runtime/store.mongo.ts";
import type { Store } from "#runtime/store.ts";
import { projections } from "../../services/projections.ts";
import { type Cluster, type ClusterRole, startCluster } from "./cluster.ts";
import { startMongodb } from "./mongodb-server.ts";
import { anyNats, sharedNatsUrl, startNats } from "./nats-server.ts";
import { ADMIN_KEY, type Call, caller, type Waymark, workspaceMaker } from "./waymark.ts";

/** Replicas with which the stories are told: what is counted and cached must be right over all of them. */
const REPLICAS: Partial<Record<ClusterRole, number>> = { gateway: 2, scans: 2, analytics: 2 };

/** The same Waymark as many processes, on a NATS server and a database of its own. */
export async function startManyProcesses(env: Record<string, string>): Promise<Waymark> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-many-"));
  chmodSync(folder, 0o755); // servers that root starts run as somebody else
  const [nats, mongodb] = await Promise.all([
    sharedNatsUrl() === undefined ? startNats({ folder: makeFolder(folder, "nats") }) : anyNats(),
    startMongodb({ folder: join(folder, "mongodb") }),
  ]);
  const mongodbUrl = mongodb.url(`waymark-${randomUUID()}`);
  const servers = async (): Promise<void> => {
    await Promise.all([nats.stop(), mongodb.stop()]);
    rmSync(folder, { recursive: true, force: true });
  };
  const place = makeFolder(folder, "processes");
  // On a server that is shared each system has a stream of its own.
  const stream = `TEST-${randomUUID().slice(0, 8).toUpperCase()}`;
  const own = { WAYMARK_NATS_STREAM: stream, ...env };
  const given = { natsUrl: nats.url, mongodbUrl, adminKey: ADMIN_KEY, replicas: REPLICAS, env: own, folder: place };
  const cluster = await startCluster(given).catch(async (error) => {
    await servers();
    throw error;
  });
  const watch = await openWatch(cluster, { natsUrl: nats.url, mongodbUrl, stream });
  const call = balanced(cluster.urls);
  return {
    url: cluster.urls[0] as string,
    data: folder,
    said: cluster.all().map((part) => part.output()),
    idle: watch.idle,
    call,
    workspace: workspaceMaker(call),
    stop: async () => {
      await watch.close();
      await cluster.stop();
      await servers();
    },
  };
}

function makeFolder(root: string, name: string): string {
  const folder = join(root, name);
  mkdirSync(folder);
  return folder;
}

/** Requests with a key always go to the same gateway, as a balancer with affinity does it; all others in turn. */
function balanced(urls: readonly string[]): ReturnType<typeof caller> {
  const callers = urls.map(caller);
  let turn = 0;
  return (method: string, path: string, given: Call = {}) => {
    const { key } = given;
    const place = key === undefined ? turn++ : createHash("sha256").update(key).digest().readUInt32BE(0);
    return (callers[place % callers.length] as ReturnType<typeof caller>)(method, path, given);
  };
}

/** Looks from outside at how far a cluster is. */
export interface Watch {
  log: Log;
  store: Store;
  /** Resolves when every projection, and every replica of analytics, has done all that is on the log now. */
  idle: () => Promise<void>;
  close: () => Promise<void>;
}

const IDLE_MS = 60_000;

/** Opens the log and the store of a cluster beside it. */
export async function openWatch(
  cluster: Pick<Cluster, "parts">,
  { natsUrl, mongodbUrl, stream = "WAYMARK" }: { natsUrl: string; mongodbUrl: string; stream?: string },
): Promise<Watch> {
  const nats = await openNats({ urls: [natsUrl], name: "watch" });
  const log = await openJetStreamLog({ nats, stream, prefix: stream.toLowerCase(), replicas: 1, retentionDays: 0 });
  const store = await openMongoStore({ url: mongodbUrl, models: runnerModels });
  const idle = async (): Promise<void> => {
    const head = await log.head();
    const until = Date.now() + IDLE_MS;
    for (const { name, subjects } of projections) {
      const last = await lastOf(log, { head, subjects, after: await store.watermark(name) });
      await reached(until, async () => (await store.watermark(name)) >= last);
    }
    for (const { url } of cluster.parts("analytics")) {
      const subjects = ["touches.marketing"] as const;
      const last = await lastOf(log, { head, subjects, after: await positionOf(url) });
      await reached(until, async () => (await positionOf(url)) >= last);
    }
  };
  const close = async (): Promise<void> => {
    await store.close();
    await log.close();
    await nats.close();
  };
  return { log, store, idle, close };
}

/** Position of the last entry of the subjects up to the head; 0 when none is left. */
async function lastOf(
  log: Log,
  { head, subjects, after }: { head: number; subjects: (typeof projections)[number]["subjects"]; after: number },
): Promise<number> {
  let last = 0;
  for await (const entries of log.read({ after, subjects })) {
    for (const { position } of entries) if (position <= head) last = position;
  }
  return last;
}

async function reached(until: number, check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) {
    if (Date.now() > until) throw new Error("a projection does not come to the end of the log");
    await delay(20);
  }
}

/** How far a replica of analytics is. */
async function positionOf(url: string): Promise<number> {
  const { lag } = (await fetch(`${url}/readyz`).then((response) => response.json())) as { lag: Record<string, number> };
  return lag["analytics.position"] ?? 0;
}
