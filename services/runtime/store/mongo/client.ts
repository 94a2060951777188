import { setTimeout as pause } from "node:timers/promises";
import { type Connection, type ConnectOptions, createConnection, type mongo } from "mongoose";
import { trackCalls } from "./calls.ts";
import { isLost, isUndone, translate } from "./failure.ts";

/** Where a store lies and how many connections it may open. */
export interface ClientOptions {
  url: string;
  maxPoolSize: number;
}

/** A connected client, and the database that the address names. */
export interface Client {
  connection: Connection;
  db: mongo.Db;
  /** Runs one call of the driver; what it throws is one of the store's own failures. */
  run: <R>(call: () => Promise<R>) => Promise<R>;
  /** The same for a call that changes nothing: it is made again when the connection was lost under it. */
  read: <R>(call: () => Promise<R>) => Promise<R>;
  /** Lets the calls that are on their way end; each of them has its deadline. */
  close: () => Promise<void>;
}

/** The name of the database when the address has none. */
const DATABASE = "waymark";

/** How often a call is made of which the server says that it did nothing. */
const ROUNDS = 6;

/** Until when after its beginning a read is made again. */
const REPEAT_MS = 2_000;

/**
 * What decides whether an acknowledged write is safe, and how long a call waits. A server that stops to answer is noticed by its
 * heartbeat within 5 s, which ends the calls that wait for it.
 */
const settings: ConnectOptions = {
  appName: "waymark",
  // FerretDB would apply a repeated write twice, and a read that waited in vain would wait again; `run` and `read` repeat what may be.
  retryWrites: false,
  retryReads: false,
  writeConcern: { w: "majority", journal: true },
  readConcern: { level: "local" },
  readPreference: "primary",
  serverSelectionTimeoutMS: 3_000,
  connectTimeoutMS: 3_000,
  heartbeatFrequencyMS: 2_000,
  waitQueueTimeoutMS: 3_000,
  socketTimeoutMS: 9_000,
  ignoreUndefined: true,
  bufferCommands: false,
  autoIndex: false,
  autoCreate: false,
};

/** Connects; rejects with STORE_UNAVAILABLE when there is no server. `socketTimeoutMS` is how long one answer may take. */
export async function openClient(
  { url, maxPoolSize }: ClientOptions,
  override: Pick<ConnectOptions, "socketTimeoutMS"> = {},
): Promise<Client> {
  const connection = createConnection();
  // Without a listener a connection that is lost would end the process; each call tells its own failure.
  connection.on("error", () => undefined);
  try {
    const dbName = /^mongodb(?:\+srv)?:\/\/[^/]+\/([^?]+)/.exec(url)?.[1] ?? DATABASE;
    await connection.openUri(url, { ...settings, ...override, maxPoolSize, dbName: decodeURIComponent(dbName) });
  } catch (error) {
    await connection.destroy().catch(() => undefined);
    // The driver's own words may repeat the address, and with it the password.
    if ((error as Error).name === "MongoParseError")
      throw new Error("WAYMARK_MONGODB_URL is not an address of MongoDB");
    throw translate(error);
  }
  return clientOf(connection, limitOf({ ...settings, ...override }));
}

/** What a call may wait for in all: a server, a connection, an answer. */
function limitOf({
  serverSelectionTimeoutMS = 0,
  waitQueueTimeoutMS = 0,
  socketTimeoutMS = 0,
}: ConnectOptions): number {
  return serverSelectionTimeoutMS + waitQueueTimeoutMS + socketTimeoutMS + 1_000;
}

function clientOf(connection: Connection, limitMs: number): Client {
  const client = connection.getClient();
  const calls = trackCalls(limitMs);
  client.on("connectionPoolCleared", calls.lost);
  const repeat = async <R>(call: () => Promise<R>, may: (error: unknown) => boolean): Promise<R> => {
    for (let round = 1; ; round++) {
      try {
        return await calls.make(call);
      } catch (error) {
        if (round === ROUNDS || !may(error)) throw translate(error);
        await pause(Math.random() * 10 * round);
      }
    }
  };
  let closing: Promise<void> | undefined;
  return {
    connection,
    db: client.db(connection.name) as mongo.Db,
    run: (call) => repeat(call, isUndone),
    read: (call) => {
      const until = performance.now() + REPEAT_MS;
      return repeat(call, (error) => isUndone(error) || (isLost(error) && performance.now() < until));
    },
    close: () => {
      closing ??= calls.close().then(() => connection.destroy().catch(() => undefined));
      return closing;
    },
  };
}
