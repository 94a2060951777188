import { randomBytes } from "node:crypto";
import type { Config } from "#runtime/config.ts";
import { type Hosted, hostServices } from "#runtime/host.ts";
import { lockFolder } from "#runtime/lock.ts";
import { openLogger } from "#runtime/logger.ts";
import { openPeers, type PeerClients } from "#runtime/rpc/peers.ts";
import { openSecrets, type Secrets } from "#runtime/secrets.ts";
import type { ServiceDefinition } from "#runtime/service.ts";
import { collectProcessMetrics } from "#runtime/telemetry.ts";
import type { Readiness } from "../gateway/health.ts";
import { type Closing, starting } from "./closing.ts";
import { type Engines, openEngines } from "./engines.ts";
import { serveGrpc } from "./grpc.ts";
import { readinessFrom, readinessOf, serveHealth } from "./health.ts";
import { giveBackMemoryAtRest } from "./memory.ts";
import { type Role, roles } from "./roles.ts";
import type { Running, Terminal } from "./terminal.ts";
import { traceTo } from "./tracing.ts";

/** Port of gRPC of a service's own process when WAYMARK_GRPC_PORT is not set. */
const GRPC_PORT = 9090;

/** How long calls in flight have at the stop, in milliseconds. */
const DRAIN_MS = 10_000;

/**
 * Starts one service as a process of its own: engines → handlers → background work → gRPC → health. Whatever fails undoes
 * what was begun.
 */
export async function startRole(role: Role, config: Config, terminal: Terminal): Promise<Running> {
  return starting(async (closing) => {
    const begun = performance.now();
    const logger = openLogger(config.logLevel);
    await traceTo(config, { name: role, closing });
    const service = await roles[role]();
    if (service.keepsFiles) closing.add("folder", lockFolder(config.data).release);
    const { secrets, peers } = openNeighbours(config, closing);
    const name = nameOf(role);
    const engines = await openEngines({ config, closing, logger, terminal, name, services: [service] });
    const announce = (what: string, value: string): void => terminal.say(`  ${what}: ${value}`);
    const ground = { config, secrets, logger, announce, store: engines.store, log: engines.log };
    const hosted = await hostServices([service], { ...ground, remote: peers.transportOf });
    closing.add("services", hosted.stop);
    const ports = await openPorts({ service, config, closing, hosted, secrets, engines });
    giveBackMemoryAtRest();
    const tookS = ((performance.now() - begun) / 1000).toFixed(1);
    terminal.say(`${role} is ready: gRPC ${ports.grpc}, health ${ports.health}  (${tookS} s)`);
    return { stop: closing.all };
  });
}

/** Names a process among its replicas. */
export function nameOf(role: string): string {
  return `${role}-${randomBytes(4).toString("hex")}`;
}

/** What a process needs to talk to others: the keys that all share, and ways to them. */
export function openNeighbours(config: Config, closing: Closing): { secrets: Secrets; peers: PeerClients } {
  if (config.masterKey === undefined) {
    throw new Error(
      "WAYMARK_MASTER_KEY is missing: separate processes trust each other by it; make one with `openssl rand -hex 32` and give it to all of them",
    );
  }
  if (config.natsUrl === undefined) {
    throw new Error("WAYMARK_NATS_URL is missing: separate processes share the log on NATS; set it, or start `all`");
  }
  const secrets = openSecrets(config);
  const peers = openPeers({ peers: config.peers, key: secrets.key("envelope"), tls: config });
  closing.add("peers", peers.close);
  return { secrets, peers };
}

async function openPorts(given: {
  service: ServiceDefinition;
  config: Config;
  closing: Closing;
  hosted: Hosted;
  secrets: Secrets;
  engines: Engines;
}): Promise<{ grpc: number; health: number }> {
  const { service, config, closing, hosted, secrets, engines } = given;
  let isStopping = false;
  const ready = readinessOf(async () => (isStopping ? STOPPING : readinessFrom(engines, hosted)));
  const health = await serveHealth({ host: config.host, port: config.healthPort, ready });
  closing.add("health", health.close);
  const grpcPort = config.grpcPort ?? GRPC_PORT;
  const grpc = await serveGrpc({ config: { ...config, grpcPort }, hosted, secrets, ready, names: [service.name] });
  closing.add("gRPC", () => grpc.close(DRAIN_MS));
  closing.add("readiness", () => {
    isStopping = true;
  });
  collectProcessMetrics();
  return { grpc: grpc.port, health: health.port };
}

const STOPPING: Readiness = { ready: false, dependencies: { process: "stopping" }, lag: {} };
