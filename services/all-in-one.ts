import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { type Config, publicUrlOf } from "#runtime/config.ts";
import { type Ground, type Hosted, hostServices } from "#runtime/host.ts";
import { lockFolder } from "#runtime/lock.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import type { Log } from "#runtime/log.ts";
import { type Logger, openLogger } from "#runtime/logger.ts";
import { bundledPlaces, openPlaces } from "#runtime/place/places.ts";
import { type Projector, startProjector } from "#runtime/projector-thread.ts";
import { openSecrets } from "#runtime/secrets.ts";
import { openRemoteStore } from "#runtime/store/remote.ts";
import type { Store } from "#runtime/store.ts";
import { backgroundGauge, collectProcessMetrics } from "#runtime/telemetry.ts";
import type { Readiness } from "../gateway/health.ts";
import { type Gateway, startGateway } from "../gateway/server.ts";
import { seedDemo } from "./demo/seed.ts";
import { greeting } from "./greeting.ts";
import { serveGrpc } from "./grpc.ts";
import { models } from "./projections.ts";
import { registry } from "./registry.ts";

/** How the all-in-one talks to the person who started it. */
export interface Terminal {
  say: (line: string) => void;
  /** Something that the process cannot go on without has ended. */
  fatal: (error: Error) => void;
}

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

type Closing = { name: string; close: () => Promise<unknown> | unknown }[];

/** Starts everything in order: folder → log → store and projections → services → gateway. Whatever fails undoes what was begun. */
export async function startAllInOne(config: Config, terminal: Terminal): Promise<AllInOne> {
  const closing: Closing = [];
  try {
    return await start(config, { terminal, closing });
  } catch (error) {
    await closeAll(closing);
    throw error;
  }
}

async function start(
  config: Config,
  { terminal, closing }: { terminal: Terminal; closing: Closing },
): Promise<AllInOne> {
  const begun = performance.now();
  const logger = openLogger(config.logLevel);
  await startTracing(config, closing);
  const lock = lockFolder(config.data);
  closing.push({ name: "folder", close: lock.release });
  const secrets = openSecrets(config);
  const engines = await openEngines(config, { terminal, closing, logger });
  const announce = (what: string, value: string): void => terminal.say(`  ${what}: ${value}`);
  const ground = { config, secrets, logger, announce, store: engines.store, log: engines.log };
  const isNew = (await engines.log.head()) === 0;
  const hosted = await hostServices(registry, ground);
  closing.push({ name: "services", close: hosted.stop });
  const demo = await seedDemo({ config, client: hosted.client, isNew, idle: engines.projector.idle });
  const ready = readiness({ ...engines, hosted, logger });
  const grpc = await serveGrpc({ config, hosted, secrets, ready });
  if (grpc !== undefined) closing.push({ name: "gRPC", close: () => grpc.close(10_000) });
  const gateway = await openDoor({ config, logger, closing, hosted, ready, log: engines.log });
  collectProcessMetrics();
  const url = publicUrlOf({ ...config, port: gateway.port });
  const tookMs = performance.now() - begun;
  for (const line of greeting({ config, url, demo, grpcPort: grpc?.port, tookMs })) terminal.say(line);
  return { url, hosted, idle: engines.projector.idle, stop: () => closeAll(closing) };
}

async function openDoor(
  given: Pick<Ground, "config" | "logger" | "log"> & {
    closing: Closing;
    hosted: Hosted;
    ready: () => Promise<Readiness>;
  },
): Promise<Gateway> {
  const { config, logger, closing, hosted, ready } = given;
  const services = [...new Set([...hosted.methods.keys()].map((method) => method.parent))];
  const places = openPlaces(config.placeDatabase ?? bundledPlaces());
  closing.push({ name: "places", close: places.close });
  const countryOf = (ip: string): string => places.locate(ip)?.country ?? "";
  const gateway = await startGateway({ config, client: hosted.client, services, ready, countryOf, log: logger });
  closing.push({ name: "gateway", close: gateway.close });
  followChanges(given.log, { gateway, closing });
  return gateway;
}

async function startTracing({ otlpEndpoint }: Config, closing: Closing): Promise<void> {
  if (otlpEndpoint === undefined) return;
  const { startTracing: begin } = await import("#runtime/tracing.ts");
  closing.push({ name: "telemetry", close: begin(otlpEndpoint).stop });
}

interface Engines {
  log: Log;
  store: Store;
  projector: Projector;
}

async function openEngines(
  config: Config,
  given: { terminal: Terminal; closing: Closing; logger: Logger },
): Promise<Engines> {
  const paths = { storePath: join(config.data, "store.db"), logPath: join(config.data, "log.db") };
  const log = await openSqliteLog({ path: paths.logPath });
  given.closing.push({ name: "log", close: log.close });
  const projector = await startProjector(paths);
  given.closing.push({ name: "projections", close: projector.stop });
  projector.onAlarm((alarm) => {
    if (alarm.kind === "dead") given.terminal.fatal(alarm.error);
    else given.logger.error(alarm, "a projection reports");
  });
  const store = openRemoteStore({ path: paths.storePath, models, port: projector.writes });
  given.closing.push({ name: "store", close: store.close });
  return { log, store, projector };
}

/** What /readyz says: each dependency, and how far each projection is behind. */
function readiness(given: Engines & { hosted: Hosted; logger: Logger }): () => Promise<Readiness> {
  const { log, store, projector, hosted, logger } = given;
  const look = async (): Promise<Readiness> => {
    const [logWord, storeWord, gauges] = await Promise.all([word(log.ping()), word(store.ping()), projector.gauges()]);
    const all = { ...gauges, ...hosted.gauges() };
    for (const [name, value] of Object.entries(all)) backgroundGauge.labels(name).set(value);
    const dependencies = { log: logWord, store: storeWord };
    return { ready: logWord === "ok" && storeWord === "ok", dependencies, lag: all };
  };
  return () =>
    look().catch((error: Error) => {
      logger.error({ stack: error.stack }, "readiness cannot be told");
      throw error;
    });
}

async function word(ping: Promise<void>): Promise<string> {
  return ping.then(
    () => "ok",
    () => "does not answer",
  );
}

/** Drops what the gateway has cached of codes and keys as they change. */
function followChanges(log: Log, { gateway, closing }: { gateway: Gateway; closing: Closing }): void {
  const stopping = new AbortController();
  const following = (async () => {
    const after = await log.head();
    const subjects = ["codes.changed", "keys.changed"] as const;
    for await (const entries of log.read({ after, subjects, follow: stopping.signal })) {
      for (const { subject, payload } of entries) {
        const change = fromBinary(ObjectChangedSchema, payload);
        if (subject === "codes.changed") gateway.codesChanged(change);
        else gateway.keysChanged(change);
      }
    }
  })().catch(() => undefined);
  closing.push({
    name: "changes",
    close: async () => {
      stopping.abort();
      await following;
    },
  });
}

async function closeAll(closing: Closing): Promise<void> {
  for (const { close } of closing.toReversed()) await close();
  closing.length = 0;
}
