import type { Doc, Model } from "./model.ts";
import { type Connection, connect } from "./store/connection.ts";
import { collectionsOf, perform, type WriteCall } from "./store/engine.ts";
import { CLOSED, fail, translate, translating } from "./store/failure.ts";
import { migrate } from "./store/schema.ts";
import { type Table, tableOf } from "./store/table.ts";
import { takeTurns } from "./store/turns.ts";
import { readProgress, readWatermark } from "./store/writer.ts";
import type { Store } from "./store.ts";

/** Where the documents lie and what they are. */
export interface SqliteOptions {
  /** The file; it is made when missing. Its folder must exist. `:memory:` keeps nothing, and shows a batch's writes to all. */
  path: string;
  /** All models of all services that share the file. */
  models: readonly Model<Doc>[];
  /** Overwrite what is deleted with zeros. Off by default. */
  secureDelete?: boolean;
  /** How long to wait for another process that holds the lock of the file. Default 5 s. */
  lockTimeoutMs?: number;
}

/** A Store that also takes writes as data, as they come from another thread. */
export interface SqliteStore extends Store {
  send: (call: WriteCall) => Promise<unknown>;
}

/**
 * Opens the embedded store in the calling thread, which does all its work. One process writes a file; a write is on the disk
 * when it is confirmed. Reads outside of a batch do not see what the batch has not committed. Tables, columns and indexes
 * that the models ask for and the file lacks are added now.
 */
export function openSqliteStore(options: SqliteOptions): SqliteStore {
  const { path } = options;
  const tables = tablesOf(options.models);
  const writer = openWriter(options, [...tables.values()]);
  const turns = takeTurns(writer);
  let closing: Promise<void> | undefined;
  let reader = path === ":memory:" ? writer : undefined;
  const reading = () => {
    if (closing !== undefined) throw fail("STORE_UNAVAILABLE", { why: CLOSED });
    if (turns.inBatch()) return writer;
    reader ??= openReader(path);
    return reader;
  };
  const send = (call: WriteCall) => turns.write(() => perform(writer, tables, call));
  return {
    send,
    collection: collectionsOf({ tables, reading, send }),
    batch: turns.batch,
    atomicBatch: true,
    watermark: async (projection) => translating(() => readWatermark(reading(), projection)),
    progress: async (projection) => translating(() => readProgress(reading(), projection)),
    begin: (projection, from, to) => send({ method: "begin", projection, from, to }) as Promise<boolean>,
    advance: (projection, from, to) => send({ method: "advance", projection, from, to }) as Promise<boolean>,
    ping: async () => translating(() => void readWatermark(reading(), "")),
    close: () => {
      closing ??= turns.close().then(() => {
        if (reader !== writer) reader?.close();
        writer.close();
      });
      return closing;
    },
  };
}

/** The tables of models, by name. */
export function tablesOf(models: readonly Model<Doc>[]): ReadonlyMap<string, Table> {
  const tables = new Map<string, Table>();
  for (const model of models) {
    if (tables.has(model.name)) throw new Error(`two models have the name ${model.name}`);
    tables.set(model.name, tableOf(model));
  }
  return tables;
}

/** A connection that only reads a file that a writer has opened before. */
export function openReader(path: string): Connection {
  return opening(path, () => connect({ path, readOnly: true, cacheKib: 8_192 }));
}

function openWriter({ path, secureDelete, lockTimeoutMs }: SqliteOptions, tables: readonly Table[]): Connection {
  return opening(path, () => {
    const writer = connect({ path, secureDelete, lockTimeoutMs, cacheKib: 32_768 });
    try {
      migrate(writer.db, tables);
    } catch (error) {
      writer.close();
      throw error;
    }
    return writer;
  });
}

/** What goes wrong at the start concerns the operator, who may see the path. */
function opening<R>(path: string, run: () => R): R {
  try {
    return run();
  } catch (error) {
    throw translate(error, `${path}: `);
  }
}
