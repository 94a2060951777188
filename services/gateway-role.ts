import { type Config, publicUrlOf } from "#runtime/config.ts";
import { lockFolder } from "#runtime/lock.ts";
import { openLogger } from "#runtime/logger.ts";
import { clientsOver } from "#runtime/rpc/clients.ts";
import { collectProcessMetrics } from "#runtime/telemetry.ts";
import type { Readiness } from "../gateway/health.ts";
import { starting } from "./closing.ts";
import { contract } from "./contract.ts";
import { openDoor } from "./door.ts";
import { type Engines, openEngines } from "./engines.ts";
import { readinessOf } from "./health.ts";
import { giveBackMemoryAtRest } from "./memory.ts";
import { openPeerHealth, type PeerHealth } from "./peer-health.ts";
import { nameOf, openNeighbours } from "./role.ts";
import { roles } from "./roles.ts";
import type { Running, Terminal } from "./terminal.ts";
import { traceTo } from "./tracing.ts";

/**
 * Starts the gateway as a process of its own: it asks the services over gRPC, and hears on NATS what has changed. It needs
 * neither of them to go on redirecting the codes that it knows.
 */
export async function startGatewayRole(config: Config, terminal: Terminal): Promise<Running> {
  return starting(async (closing) => {
    const begun = performance.now();
    const logger = openLogger(config.logLevel);
    await traceTo(config, { name: "gateway", closing });
    closing.add("folder", lockFolder(config.data).release);
    const { secrets, peers } = openNeighbours(config, closing);
    const name = nameOf("gateway");
    const engines = await openEngines({ config, closing, logger, terminal, name, services: [] });
    const health = openPeerHealth({ config, names: Object.keys(roles) });
    closing.add("peers' health", health.close);
    const client = clientsOver(peers.transportOf);
    const ready = readinessOf(() => look(engines, health));
    const gateway = await openDoor({ config, logger, closing, secrets, client, services: contract, engines, ready });
    collectProcessMetrics();
    const url = publicUrlOf({ ...config, port: gateway.port });
    giveBackMemoryAtRest();
    const tookS = ((performance.now() - begun) / 1000).toFixed(1);
    terminal.say(`gateway is ready at ${url}: port ${gateway.port}  (${tookS} s)`);
    return { stop: closing.all };
  });
}

/** A gateway is ready when it listens: what does not answer behind it is told, and its own part works on. */
async function look(engines: Engines, health: PeerHealth): Promise<Readiness> {
  const [{ log }, peers] = await Promise.all([engines.look(), health.look()]);
  return { ready: true, dependencies: { log, ...peers }, lag: {} };
}
