import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { Config } from "./config.ts";
import { newId } from "./internal.ts";
import type { Log } from "./log.ts";
import type { Logger } from "./logger.ts";
import { type ClientOf, clientsOver } from "./rpc/clients.ts";
import { createInProcessTransport } from "./rpc/in-process.ts";
import { serverInterceptors } from "./rpc/interceptors.ts";
import { type BoundMethod, bindMethods } from "./rpc/methods.ts";
import type { Secrets } from "./secrets.ts";
import type { Background, ServiceDefinition, ServiceDeps } from "./service.ts";
import type { Store } from "./store.ts";
import { backgroundGauge } from "./telemetry.ts";

/** What hosted services stand on. */
export interface Ground {
  config: Config;
  store: Store;
  log: Log;
  secrets: Secrets;
  logger: Logger;
  announce: ServiceDeps["announce"];
  /** Where services that are not hosted here are reached. Without it they are not. */
  remote?: (service: DescService) => Transport;
}

/** Services that answer and work. */
export interface Hosted {
  methods: ReadonlyMap<DescMethod, BoundMethod>;
  client: ClientOf;
  /** What every background says of itself, by "service.gauge". */
  gauges: () => Readonly<Record<string, number>>;
  /** Stops background work in reverse order of starting. */
  stop: () => Promise<void>;
}

/** Binds the services' handlers, then starts their background work in order. */
export async function hostServices(services: readonly ServiceDefinition[], ground: Ground): Promise<Hosted> {
  let local: Transport | undefined;
  let methods: Map<DescMethod, BoundMethod> = new Map();
  const hosted = new Set<DescService>();
  const client = clientsOver((service) => {
    const transport = hosted.has(service) ? local : (ground.remote?.(service) ?? local);
    if (transport === undefined) throw new Error(`${service.typeName} was called before it was bound`);
    return transport;
  });
  const { config, store, log, secrets, announce } = ground;
  const deps: ServiceDeps = { config, store, log, secrets, client, now: Date.now, newId, announce };
  methods = bindMethods((router) => {
    for (const service of services) service.routes(router, deps);
  }, serverInterceptors(ground.logger));
  for (const method of methods.keys()) hosted.add(method.parent);
  local = createInProcessTransport(methods);
  const running = await startAll(services, deps);
  const gauges = () => gather(running);
  backgroundGauge.reset();
  return { methods, client, gauges, stop: () => stopAll(running) };
}

type Running = { name: string; background: Background }[];

async function startAll(services: readonly ServiceDefinition[], deps: ServiceDeps): Promise<Running> {
  const running: Running = [];
  try {
    for (const { name, start } of services) {
      if (start !== undefined) running.push({ name, background: await start(deps) });
    }
  } catch (error) {
    await stopAll(running).catch(() => undefined);
    throw error;
  }
  return running;
}

/** Stops all, also when one of them fails, and rejects with the first failure after that. */
async function stopAll(running: Running): Promise<void> {
  const failures: unknown[] = [];
  for (const { background } of running.toReversed()) {
    await background.stop().catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

function gather(running: Running): Record<string, number> {
  const all: Record<string, number> = {};
  for (const { name, background } of running) {
    for (const [gauge, value] of Object.entries(background.gauges?.() ?? {})) all[`${name}.${gauge}`] = value;
  }
  return all;
}
