import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { eventually } from "../e2e/eventually.ts";
import { type Cluster, type ClusterRole, startCluster } from "../support/cluster.ts";
import { openWatch, type Watch } from "../support/many-processes.ts";
import { type MongodbServer, startMongodb } from "../support/mongodb-server.ts";
import { type NatsServer, type NatsServerOptions, startNats } from "../support/nats-server.ts";
import { ADMIN_KEY, caller, workspaceMaker } from "../support/waymark.ts";
import { type Load, startLoad } from "./load.ts";

/** A cluster with servers that may be killed. */
export interface System {
  cluster: Cluster;
  nats: NatsServer;
  mongodb: MongodbServer;
  watch: Watch;
  call: ReturnType<typeof caller>;
  key: string;
  /** A load on codes of its own. */
  load: (name: string) => Promise<Load & { codeIds: string[] }>;
  stop: () => Promise<void>;
}

const REPLICAS: Partial<Record<ClusterRole, number>> = { gateway: 2, scans: 2, analytics: 2 };

/** Starts one. */
export async function startSystem(options: { nats?: NatsServerOptions } = {}): Promise<System> {
  const [nats, mongodb] = await Promise.all([startNats(options.nats), startMongodb()]);
  const mongodbUrl = mongodb.url(`waymark-${randomUUID()}`);
  const cluster = await startCluster({ natsUrl: nats.url, mongodbUrl, adminKey: ADMIN_KEY, replicas: REPLICAS });
  const watch = await openWatch(cluster, { natsUrl: nats.url, mongodbUrl });
  const call = caller(cluster.urls[0] as string);
  const { key } = await workspaceMaker(call)("Faults");
  const load: System["load"] = async (name) => {
    const codeIds = [`${name}-api`, `${name}-phone`];
    for (const id of codeIds) {
      const body = { id, name: id, prompt: "-", short_id: id, destination: "https://example.com" };
      const made = await call("POST", "/v1/qpr-codes", { key, body });
      if (made.status !== 200) throw new Error(`the code was not made: ${made.text}`);
    }
    const [codeId, shortId] = codeIds as [string, string];
    for (const url of cluster.urls) await caller(url)("GET", `/s/${shortId}`, {});
    return { ...startLoad({ urls: cluster.urls, key, codeId, shortId, name }), codeIds };
  };
  const stop = async (): Promise<void> => {
    await watch.close();
    await cluster.stop();
    await Promise.all([nats.stop(), mongodb.stop()]);
  };
  return { cluster, nats, mongodb, watch, call, key, load, stop };
}

/** What can fail: one process of a role, or a server. */
export type Part = ClusterRole | "nats" | "mongodb";

/** Kills a part and starts it again after `awayMs`. */
export async function killAndRestart({ cluster, nats, mongodb }: System, part: Part, awayMs: number): Promise<void> {
  if (part === "nats" || part === "mongodb") {
    const server = part === "nats" ? nats : mongodb;
    await server.kill("SIGKILL");
    await delay(awayMs);
    return server.restart();
  }
  const process = cluster.parts(part)[0];
  await process?.end("SIGKILL");
  await delay(awayMs);
  await process?.again();
}

/** Has a part stand still for `awayMs`, with its connections open. */
export async function stopAndContinue({ cluster, nats, mongodb }: System, part: Part, awayMs: number): Promise<void> {
  const signal = async (name: "SIGSTOP" | "SIGCONT"): Promise<void> => {
    if (part === "nats") await nats.kill(name);
    else if (part === "mongodb") await mongodb.kill(name);
    else cluster.parts(part)[0]?.signal(name);
  };
  await signal("SIGSTOP");
  await delay(awayMs);
  await signal("SIGCONT");
}

/** Resolves when no touch of a redirect waits on a gateway's disk. */
export async function nothingQueued({ cluster }: System): Promise<void> {
  await eventually(async () => {
    const queued = cluster.urls.map(async (url) => {
      const { body } = await caller(url)("GET", "/readyz");
      return body.lag.queued_touches as number;
    });
    expect(await Promise.all(queued)).toEqual(cluster.urls.map(() => 0));
  });
}

/** Faults of our own that the processes have logged. */
export function faultsSaid({ cluster }: System): string[] {
  const lines = cluster.all().flatMap((part) => part.output().split("\n"));
  return lines.filter((line) => line.includes('"level":"error"') && line.includes('"msg":"failed"'));
}

/** What the system says of a code when everything has been counted. */
export async function countsOf({ call, key }: System, codeId: string) {
  const page = await call("GET", `/v1/scans?qpr_code_id=${codeId}&limit=1`, { key });
  const code = await call("GET", `/v1/qpr-codes/${codeId}`, { key });
  const events = await call("GET", `/analytics/v1/metrics/events?linkId=${codeId}`, { key });
  return { documents: page.body.total, counted: code.body.scans_total, analytics: Number(events.body.totalEvents) };
}

/** The ledger of the workspace: it must balance, whatever has happened. */
export async function expectBalance({ call, key }: System): Promise<Record<string, number>> {
  const { body } = await call("GET", "/waymark/v1/ledger", { key });
  const { total } = body;
  expect(total).toMatchObject({ balanced: true, pending: 0 });
  expect(total.received).toBe(total.accepted + total.rejected + total.shed);
  return total;
}
