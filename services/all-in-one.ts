import { type Config, publicUrlOf } from "#runtime/config.ts";
import { type Hosted, hostServices } from "#runtime/host.ts";
import { lockFolder } from "#runtime/lock.ts";
import { type Logger, openLogger } from "#runtime/logger.ts";
import { openSecrets } from "#runtime/secrets.ts";
import { collectProcessMetrics } from "#runtime/telemetry.ts";
import type { Readiness } from "../gateway/health.ts";
import { type Closing, starting } from "./closing.ts";
import { seedDemo } from "./demo/seed.ts";
import { openDoor } from "./door.ts";
import { type Engines, openEngines } from "./engines.ts";
import { greeting } from "./greeting.ts";
import { serveGrpc } from "./grpc.ts";
import { readinessFrom, readinessOf } from "./health.ts";
import { registry } from "./registry.ts";
import type { Terminal } from "./terminal.ts";
import { traceTo } from "./tracing.ts";

/** The whole of Waymark in this process. */
export interface AllInOne {
  /** Where the gateway listens: "http://localhost:8080". */
  url: string;
  hosted: Hosted;
  /** Resolves when all projections have done what is on the log now. */
  idle: () => Promise<void>;
  /** Not ready, drain, last batch committed, close. */
  stop: () => Promise<void>;
}

/** Starts everything in order: folder → log → store and projections → services → gateway. Whatever fails undoes what was begun. */
export async function startAllInOne(config: Config, terminal: Terminal): Promise<AllInOne> {
  return starting((closing) => start(config, { terminal, closing }));
}

async function start(
  config: Config,
  { terminal, closing }: { terminal: Terminal; closing: Closing },
): Promise<AllInOne> {
  const begun = performance.now();
  const logger = openLogger(config.logLevel);
  await traceTo(config, { name: "all", closing });
  closing.add("folder", lockFolder(config.data).release);
  const secrets = openSecrets(config);
  const engines = await openEngines({ config, closing, logger, terminal, name: "all", services: registry });
  const announce = (what: string, value: string): void => terminal.say(`  ${what}: ${value}`);
  const ground = { config, secrets, logger, announce, store: engines.store, log: engines.log };
  const isNew = (await engines.log.head()) === 0;
  const hosted = await hostServices(registry, ground);
  closing.add("services", hosted.stop);
  const demo = await seedDemo({ config, client: hosted.client, isNew, idle: engines.idle });
  const ready = readiness({ engines, hosted, logger });
  const names = registry.map(({ name }) => name);
  const grpc =
    config.grpcPort === undefined
      ? undefined
      : await serveGrpc({ config: { ...config, grpcPort: config.grpcPort }, hosted, secrets, ready, names });
  if (grpc !== undefined) closing.add("gRPC", () => grpc.close(10_000));
  const services = [...new Set([...hosted.methods.keys()].map((method) => method.parent))];
  const client = hosted.client;
  const gateway = await openDoor({ config, logger, closing, secrets, client, services, engines, ready });
  collectProcessMetrics();
  const url = publicUrlOf({ ...config, port: gateway.port });
  const tookMs = performance.now() - begun;
  for (const line of greeting({ config, url, demo, grpcPort: grpc?.port, tookMs })) terminal.say(line);
  return { url, hosted, idle: engines.idle, stop: closing.all };
}

/** What /readyz says: each dependency, and how far each projection is behind. */
function readiness(given: { engines: Engines; hosted: Hosted; logger: Logger }): () => Promise<Readiness> {
  const { engines, hosted, logger } = given;
  const ready = readinessOf(() => readinessFrom(engines, hosted));
  return () =>
    ready().catch((error: Error) => {
      logger.error({ stack: error.stack }, "readiness cannot be told");
      throw error;
    });
}
