import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Part, startPart } from "./part.ts";
import { freePort } from "./ports.ts";

/** The roles of a cluster, services first: the gateway asks all of them. */
export const ROLES = [
  ...["access", "codes", "scans", "impressions", "touchpoints", "tags", "emergency", "analytics", "gateway"],
] as const;

/** A process of which a cluster has some. */
export type ClusterRole = (typeof ROLES)[number];

/** Waymark as many processes on this machine, on servers that are there already. */
export interface Cluster {
  /** Base URL of each gateway. */
  urls: string[];
  parts: (role: ClusterRole) => Part[];
  all: () => Part[];
  /** One more gateway with settings of its own. */
  gateway: (env: Record<string, string>) => Promise<Part>;
  env: Readonly<Record<string, string>>;
  folder: string;
  stop: () => Promise<void>;
}

/** What a cluster stands on. */
export interface ClusterOptions {
  natsUrl: string;
  mongodbUrl: string;
  adminKey: string;
  /** How many of each; one where nothing is said. */
  replicas?: Partial<Record<ClusterRole, number>>;
  env?: Record<string, string>;
  /** Where the processes keep their folders; a fresh one by default. It is removed at the stop. */
  folder?: string;
}

interface Plan {
  role: ClusterRole;
  folder: string;
  port: number;
  health: number;
}

/** Starts every role, all at once, and resolves when each is ready. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "waymark-cluster-"));
  const plans = await plansOf(options, folder);
  const env = await sharedEnv(options, plans);
  const parts = new Map<ClusterRole, Part[]>();
  const start = (plan: Plan, more: Record<string, string> = {}): Promise<Part> =>
    startPart({ role: plan.role, port: plan.health, env: { ...env, ...envOf(plan), ...more } });
  const stop = async (): Promise<void> => {
    const all = [...parts.values()].flat();
    await Promise.all(all.filter(({ role }) => role === "gateway").map((part) => part.end("SIGTERM")));
    await Promise.all(all.filter(({ role }) => role !== "gateway").map((part) => part.end("SIGTERM")));
    rmSync(folder, { recursive: true, force: true });
  };
  const started = await Promise.allSettled(
    plans.map(async (plan) => {
      const part = await start(plan);
      parts.set(plan.role, [...(parts.get(plan.role) ?? []), part]);
    }),
  );
  const failed = started.find((one) => one.status === "rejected");
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  const gateway = async (more: Record<string, string>): Promise<Part> => {
    const port = await freePort();
    const part = await start({ role: "gateway", folder: join(folder, `gateway-${port}`), port, health: port }, more);
    parts.set("gateway", [...(parts.get("gateway") ?? []), part]);
    return part;
  };
  const urls = plans.filter(({ role }) => role === "gateway").map(({ port }) => `http://127.0.0.1:${port}`);
  return {
    ...{ urls, env, folder, stop, gateway },
    parts: (role) => parts.get(role) ?? [],
    all: () => [...parts.values()].flat(),
  };
}

async function plansOf({ replicas = {} }: ClusterOptions, folder: string): Promise<Plan[]> {
  const plans: Plan[] = [];
  for (const role of ROLES) {
    for (let index = 0; index < (replicas[role] ?? 1); index += 1) {
      const port = await freePort();
      const health = role === "gateway" ? port : await freePort();
      plans.push({ role, folder: join(folder, `${role}-${index}`), port, health });
    }
  }
  return plans;
}

async function sharedEnv(options: ClusterOptions, plans: readonly Plan[]): Promise<Record<string, string>> {
  const peers = ROLES.filter((role) => role !== "gateway").map((role) => {
    const addresses = plans.filter((plan) => plan.role === role).map(({ port }) => `127.0.0.1:${port}`);
    return `${role}=ipv4:${addresses.join(",")}`;
  });
  const gateway = plans.find(({ role }) => role === "gateway");
  return {
    PATH: process.env.PATH ?? "",
    WAYMARK_HOST: "127.0.0.1",
    WAYMARK_PUBLIC_URL: `http://127.0.0.1:${gateway?.port}`,
    WAYMARK_ADMIN_KEY: options.adminKey,
    WAYMARK_MASTER_KEY: randomBytes(32).toString("hex"),
    WAYMARK_NATS_URL: options.natsUrl,
    WAYMARK_MONGODB_URL: options.mongodbUrl,
    WAYMARK_PEERS: peers.join(" "),
    WAYMARK_RATE_LIMITS: "off",
    WAYMARK_LOG_LEVEL: "warn",
    ...options.env,
  };
}

function envOf({ role, folder, port, health }: Plan): Record<string, string> {
  if (role === "gateway") return { WAYMARK_DATA: folder, PORT: String(port) };
  return { WAYMARK_DATA: folder, WAYMARK_GRPC_PORT: String(port), WAYMARK_HEALTH_PORT: String(health) };
}
