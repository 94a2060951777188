import type { Doc, Model } from "./model.ts";
import { type Connection, connect } from "./store/connection.ts";
import { fail, translate, translating } from "./store/failure.ts";
import { countRows, readAll, readMany, readOne, readRows, type Source } from "./store/reader.ts";
import { migrate } from "./store/schema.ts";
import { type Table, tableOf } from "./store/table.ts";
import { type Turns, takeTurns } from "./store/turns.ts";
import {
  deleteDoc,
  insertDoc,
  moveWatermark,
  readWatermark,
  type Update,
  updateDoc,
  writeAll,
} from "./store/writer.ts";
import type { Bound, Collection, Guard, Store, Write } from "./store.ts";

/** Where the documents lie and what they are. */
export interface SqliteOptions {
  /** The file; it is made when missing. Its folder must exist. */
  path: string;
  /** All models of all services that share the file. */
  models: readonly Model<Doc>[];
  /** Overwrite what is deleted with zeros. Off by default. */
  secureDelete?: boolean;
}

/**
 * Opens the embedded store in the calling thread, which does all its work. One process writes a file; a commit is on the disk
 * when it is confirmed. Tables, columns and indexes that the models ask for and the file lacks are added now.
 */
export function openSqliteStore({ path, models, secureDelete }: SqliteOptions): Store {
  const tables = new Map(models.map((model) => [model.name, tableOf(model)]));
  const writer = opened(path, () => connect({ path, secureDelete, cacheKib: 32_768 }));
  try {
    migrate(writer.db, [...tables.values()]);
  } catch (error) {
    writer.close();
    throw atPath(path, error);
  }
  const reader = path === ":memory:" ? writer : opened(path, () => connect({ path, readOnly: true, cacheKib: 8_192 }));
  return storeOf({ tables, writer, reader, turns: takeTurns(writer) });
}
