import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "#runtime/config.ts";
import type { Gossip } from "#runtime/gossip.ts";
import type { Log } from "#runtime/log.ts";
import type { Logger } from "#runtime/logger.ts";
import type { Projection, ServiceDefinition } from "#runtime/service.ts";
import type { Store } from "#runtime/store.ts";
import type { Closing } from "./closing.ts";
import type { Terminal } from "./terminal.ts";

/** What services stand on, and the projections at work on it. */
export interface Engines {
  log: Log;
  store: Store;
  /** Tells other processes; undefined where there are none. */
  gossip: Gossip | undefined;
  /** Whether the servers of the log answer, as far as is known now. */
  isUp: () => boolean;
  /** What /readyz and /metrics show of the projections. */
  gauges: () => Promise<Readonly<Record<string, number>>>;
  /** Resolves when the projections that run here have done all that is on the log now. */
  idle: () => Promise<void>;
  /** Resolves when both answer; says of each "ok", or what is wrong. */
  look: () => Promise<{ log: string; store: string }>;
}

/** Who opens engines, for what. */
export interface Opening {
  config: Config;
  closing: Closing;
  logger: Logger;
  terminal: Terminal;
  /** Names this process among others: "scans-7f2c". */
  name: string;
  services: readonly ServiceDefinition[];
}

/** How long a start waits for servers that do not answer yet, and how often it says so. */
const PATIENCE_MS = 60_000;
const WORD_MS = 3_000;
const AGAIN_MS = 1_000;

/** Opens the engines that the settings name: NATS and MongoDB, or files in the data folder. */
export async function openEngines(opening: Opening): Promise<Engines> {
  const { mongodbUrl, natsUrl, otlpEndpoint } = opening.config;
  if (natsUrl === undefined && mongodbUrl !== undefined) {
    throw new Error("WAYMARK_MONGODB_URL goes with WAYMARK_NATS_URL; set both or neither");
  }
  const engines = natsUrl === undefined ? await openEmbedded(opening) : await openServers(opening, natsUrl);
  if (otlpEndpoint === undefined) return engines;
  const { log, store } = await tracing();
  return { ...engines, log: log(engines.log), store: store(engines.store) };
}

/** What puts spans around the engines; loaded only where spans are sent. */
async function tracing() {
  const [{ tracedLog }, { tracedStore }, { tracedProjection }] = await Promise.all([
    import("#runtime/traced/log.ts"),
    import("#runtime/traced/store.ts"),
    import("#runtime/traced/projection.ts"),
  ]);
  return { log: tracedLog, store: tracedStore, projection: tracedProjection };
}

async function openEmbedded({ config, closing, logger, terminal }: Opening): Promise<Engines> {
  const [{ openSqliteLog }, { startProjector }, { openRemoteStore }, { models }] = await Promise.all([
    import("#runtime/log.sqlite.ts"),
    import("#runtime/projector-thread.ts"),
    import("#runtime/store/remote.ts"),
    import("./projections.ts"),
  ]);
  const paths = { storePath: join(config.data, "store.db"), logPath: join(config.data, "log.db") };
  const log = await openSqliteLog({ path: paths.logPath });
  closing.add("log", log.close);
  const projector = await startProjector({ ...paths, otlpEndpoint: config.otlpEndpoint });
  closing.add("projections", projector.stop);
  projector.onAlarm((alarm) => {
    if (alarm.kind === "dead") terminal.fatal(alarm.error);
    else logger.error(alarm, "a projection reports");
  });
  const store = openRemoteStore({ path: paths.storePath, models, port: projector.writes });
  closing.add("store", store.close);
  return {
    log,
    store,
    gossip: undefined,
    isUp: () => true,
    gauges: projector.gauges,
    idle: projector.idle,
    look: () => look(log, store),
  };
}

async function openServers(opening: Opening, urls: readonly string[]): Promise<Engines> {
  const { config, closing, logger, name, services } = opening;
  const [{ openNats }, { openJetStreamLog }] = await Promise.all([
    import("#runtime/nats.ts"),
    import("#runtime/log.jetstream.ts"),
  ]);
  const prefix = config.natsStream.toLowerCase();
  const nats = await patiently(opening, { what: "NATS", open: () => openNats({ urls, name, prefix, log: logger }) });
  closing.add("NATS", nats.close);
  const { natsStream: stream, natsReplicas: replicas, logRetentionDays: retentionDays } = config;
  const open = () => openJetStreamLog({ nats, stream, prefix, replicas, retentionDays });
  const log = await patiently(opening, { what: "the log on NATS", open });
  closing.add("log", log.close);
  const store = await openDocuments(opening);
  const projections = services.flatMap((service) => service.projections ?? []);
  const work = projections.length === 0 ? AT_REST : await runOn({ ...opening, projections, log, store });
  return { log, store, gossip: nats.gossip, isUp: nats.isUp, ...work, look: () => look(log, store) };
}

/** MongoDB for services that keep documents; others have no store. */
async function openDocuments(opening: Opening): Promise<Store> {
  const { config, closing, services, logger } = opening;
  const own = services.flatMap(({ collections }) => collections);
  if (own.length === 0) return (await import("./no-store.ts")).noStore;
  if (config.mongodbUrl === undefined) {
    throw new Error("WAYMARK_NATS_URL goes with WAYMARK_MONGODB_URL; set both or neither");
  }
  const [{ openMongoStore }, { runnerModels }] = await Promise.all([
    import("#runtime/store.mongo.ts"),
    import("#runtime/runner/models.ts"),
  ]);
  const { mongodbUrl: url } = config;
  const models = [...runnerModels, ...own];
  const store = await patiently(opening, { what: "MongoDB", open: () => openMongoStore({ url, models, log: logger }) });
  closing.add("store", store.close);
  return store;
}

type Work = Pick<Engines, "gauges" | "idle">;

const AT_REST: Work = { gauges: async () => ({}), idle: async () => undefined };

async function runOn(
  given: Pick<Opening, "config" | "closing" | "logger" | "name"> & {
    projections: Projection[];
    log: Log;
    store: Store;
  },
): Promise<Work> {
  const { config, closing, logger, name: holder, log } = given;
  const { runProjections } = await import("#runtime/runner.ts");
  const traced = config.otlpEndpoint === undefined ? undefined : await tracing();
  const runner = runProjections({
    projections: traced === undefined ? given.projections : given.projections.map(traced.projection),
    store: traced === undefined ? given.store : traced.store(given.store),
    log,
    now: Date.now,
    lease: { holder },
    onError: (alarm) => logger.error(alarm, "a projection reports"),
  });
  closing.add("projections", runner.stop);
  return { gauges: async () => runner.gauges(), idle: runner.idle };
}

/** Opens what may not be there yet, as when everything starts at once; says every few seconds that it waits, and for what. */
async function patiently<T>(
  { terminal, logger }: Opening,
  { what, open }: { what: string; open: () => Promise<T> },
): Promise<T> {
  const until = performance.now() + PATIENCE_MS;
  let why = "";
  const word = setInterval(() => terminal.say(`waiting for ${what}${why}`), WORD_MS);
  try {
    for (;;) {
      try {
        return await open();
      } catch (cause) {
        if (performance.now() > until) throw cause;
        logger.debug({ err: cause }, "a server does not answer yet");
        why = cause instanceof Error ? `: ${cause.message}` : "";
        await delay(AGAIN_MS);
      }
    }
  } finally {
    clearInterval(word);
  }
}

async function look(log: Log, store: Store): Promise<{ log: string; store: string }> {
  const [logWord, storeWord] = await Promise.all([word(log.ping()), word(store.ping())]);
  return { log: logWord, store: storeWord };
}

async function word(ping: Promise<void>): Promise<string> {
  return ping.then(
    () => "ok",
    () => "does not answer",
  );
}
