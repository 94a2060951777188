import { setTimeout as after } from "node:timers/promises";
import type { mongo } from "mongoose";
import type { Logger } from "./logger.ts";
import type { Doc, Model } from "./model.ts";
import { fail } from "./store/failure.ts";
import { writeAll } from "./store/mongo/bulk.ts";
import { type Client, type ClientOptions, openClient } from "./store/mongo/client.ts";
import { translate } from "./store/mongo/failure.ts";
import { buildIndexes } from "./store/mongo/indexes.ts";
import { type Book, beginStep, endStep, readProgress, type StoredProgress } from "./store/mongo/progress.ts";
import { countDocs, readAll, readMany, readOne, streamDocs } from "./store/mongo/reader.ts";
import { schemaOf } from "./store/mongo/schema.ts";
import { prefixOf, type Shelf, type Stored } from "./store/mongo/shelf.ts";
import { deleteDoc, insertDoc, type Update, updateDoc } from "./store/mongo/writer.ts";
import type { Bound, Change, Collection, Guard, Query, Store, Where, Write } from "./store.ts";

/** Where the documents lie and what they are. */
export interface MongoOptions {
  /** Address with the name of the database: "mongodb://db-0,db-1/waymark?replicaSet=rs0". Without a name it is "waymark". */
  url: string;
  /** All models that this process uses. */
  models: readonly Model<Doc>[];
  /** Connections at most. Default 20; what finds none free waits, and after 3 s it is refused. */
  maxPoolSize?: number;
  /** Told when the server is lost and found again. */
  log?: Logger;
}

/** How long making an index over stored documents may take. */
const BUILD_MS = 600_000;

/** How long a ping waits. */
const PING_MS = 3_000;

/** Where progress of projections lies. No model has this name. */
const PROGRESS = "waymark.progress";

/**
 * Opens the store on a MongoDB server or cluster, which many processes may do at once. Indexes that the models ask for and the
 * collections lack are made now. A write is on the disks of a majority when it is confirmed. Rejects with STORE_UNAVAILABLE when
 * the server does not answer within seconds; afterwards calls do, until it is back.
 */
export async function openMongoStore({ url, models, maxPoolSize = 20, log }: MongoOptions): Promise<Store> {
  await prepare({ url, maxPoolSize: 2 }, models);
  const client = await openClient({ url, maxPoolSize });
  if (log !== undefined) tell(client, log);
  const { run, read } = client;
  const book: Book = { collection: client.db.collection<StoredProgress>(PROGRESS), run, read };
  const progress = (projection: string) => readProgress(book, projection);
  return {
    collection: collectionsOf(client, models),
    batch: (run) => run(),
    atomicBatch: false,
    watermark: async (projection) => (await progress(projection)).done,
    progress,
    begin: (projection, from, to) => beginStep(book, { projection, from, to }),
    advance: (projection, from, to) => endStep(book, { projection, from, to }),
    ping: () => ping(book),
    close: client.close,
  };
}

async function prepare(options: ClientOptions, models: readonly Model<Doc>[]): Promise<void> {
  const client = await openClient(options, { socketTimeoutMS: BUILD_MS });
  try {
    for (const model of models) {
      const { schema } = client.connection.model(model.name, schemaOf(model), model.name);
      await buildIndexes(client.db, model.name, schema);
    }
  } catch (error) {
    throw translate(error);
  } finally {
    await client.close();
  }
}

function tell({ connection }: Client, log: Logger): void {
  connection.on("disconnected", () => log.warn("the store does not answer"));
  connection.on("reconnected", () => log.info("the store answers again"));
}

async function ping(book: Book): Promise<void> {
  const limit = new AbortController();
  const late = after(PING_MS, undefined, { signal: limit.signal, ref: false }).then(() => {
    throw fail("STORE_UNAVAILABLE", { why: `it does not answer within ${PING_MS / 1_000} s; check it` });
  });
  late.catch(() => undefined);
  try {
    await Promise.race([readProgress(book, ""), late]);
  } finally {
    limit.abort();
  }
}

function collectionsOf({ db, run, read }: Client, models: readonly Model<Doc>[]): Store["collection"] {
  const known = new Map<string, mongo.Collection<Stored>>();
  for (const { name } of models) {
    if (known.has(name)) throw new Error(`two models have the name ${name}`);
    known.set(name, db.collection<Stored>(name));
  }
  return <T extends Doc>(model: Model<T>): Bound<T> => {
    const collection = known.get(model.name);
    if (collection === undefined)
      throw new Error(`${model.name} is not among the models that this store was opened with`);
    return {
      of: (workspace) => {
        if (typeof workspace !== "string" || workspace === "") throw new Error(`${model.name}: a workspace is needed`);
        const place = { workspace, prefix: prefixOf(workspace) };
        const shelf: Shelf = { model: model as Model<Doc>, collection, ...place, run, read };
        return { ...reads(shelf), ...writes(shelf) } as unknown as Collection<T>;
      },
    };
  };
}

type Reads = Pick<Collection<Doc>, "get" | "getMany" | "find" | "count" | "stream">;

function reads(shelf: Shelf): Reads {
  return {
    get: async (id) => readOne(shelf, id),
    getMany: async (ids) => readMany(shelf, ids),
    find: async (query: Query<Doc>) => readAll(shelf, query),
    count: async (where?: Where<Doc>) => countDocs(shelf, where),
    stream: (query: Query<Doc>) => streamDocs(shelf, query),
  };
}

type Writes = Pick<Collection<Doc>, "insert" | "update" | "bulk" | "delete">;

function writes(shelf: Shelf): Writes {
  return {
    insert: async (doc) => insertDoc(shelf, doc),
    update: async (id: string, change: Change<Doc>, guard?: Guard<Doc>) => {
      const update: Update = { id, change, guard };
      const updated = await updateDoc(shelf, update);
      if (updated.kind === "conflict")
        throw fail("DOCUMENT_CONFLICT", { model: shelf.model.name, index: updated.index });
      return updated.kind === "applied" ? updated.doc : undefined;
    },
    bulk: async (list: readonly Write<Doc>[]) => writeAll(shelf, list),
    delete: async (id) => deleteDoc(shelf, id),
  };
}
