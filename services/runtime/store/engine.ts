import type { Doc, Model } from "../model.ts";
import type { Bound, Change, Collection, Guard, Outcome, Query, Store, Where, Write } from "../store.ts";
import type { Connection } from "./connection.ts";
import type { Fields } from "./document.ts";
import { fail } from "./failure.ts";
import { countRows, readAll, readMany, readOne } from "./reader.ts";
import { type Source, scan } from "./scan.ts";
import type { Table } from "./table.ts";
import {
  beginStep,
  deleteDoc,
  insertDoc,
  moveWatermark,
  type Update,
  type Updated,
  updateDoc,
  writeAll,
} from "./writer.ts";

/** One write as plain data, so that it can go to another thread. */
export type WriteCall =
  | { method: "insert"; model: string; workspace: string; doc: Doc }
  | { method: "update"; model: string; workspace: string; update: Update }
  | { method: "bulk"; model: string; workspace: string; writes: readonly Write<Doc>[] }
  | { method: "delete"; model: string; workspace: string; id: string }
  | { method: "begin"; projection: string; from: number; to: number }
  | { method: "advance"; projection: string; from: number; to: number };

/** What a Store on SQLite is made from: where it reads, and where its writes go. */
export interface Engine {
  tables: ReadonlyMap<string, Table>;
  reading: () => Connection;
  send: (call: WriteCall) => Promise<unknown>;
}

/** The table of a model that the store was opened with. */
export function tableNamed(tables: ReadonlyMap<string, Table>, model: string): Table {
  const table = tables.get(model);
  if (table === undefined) throw new Error(`${model} is not among the models that this store was opened with`);
  return table;
}

/** Does one write on the connection that writes. */
export function perform(connection: Connection, tables: ReadonlyMap<string, Table>, call: WriteCall): unknown {
  if (call.method === "begin") return beginStep(connection, call);
  if (call.method === "advance") return moveWatermark(connection, call);
  const source: Source = { connection, table: tableNamed(tables, call.model), workspace: call.workspace };
  switch (call.method) {
    case "insert":
      return insertDoc(source, call.doc);
    case "update":
      return updateDoc(source, call.update);
    case "bulk":
      return writeAll(source, call.writes);
    case "delete":
      return deleteDoc(source, call.id);
  }
}

/** The collections of an engine. */
export function collectionsOf(engine: Engine): Store["collection"] {
  return <T extends Doc>(model: Model<T>): Bound<T> => {
    const table = tableNamed(engine.tables, model.name);
    return {
      of: (workspace) => {
        if (typeof workspace !== "string" || workspace === "") throw new Error(`${model.name}: a workspace is needed`);
        const sound = { ...reads(engine, table, workspace), ...writes(engine, model.name, workspace) };
        return sound as unknown as Collection<T>;
      },
    };
  };
}

type Reads = Pick<Collection<Doc>, "get" | "getMany" | "find" | "count" | "stream">;

function reads(engine: Engine, table: Table, workspace: string): Reads {
  const source = (): Source => ({ connection: engine.reading(), table, workspace });
  return {
    get: async (id) => readOne(source(), id),
    getMany: async (ids) => readMany(source(), ids),
    find: async (query: Query<Doc>) => readAll(source(), query),
    count: async (where?: Where<Doc>) => countRows(source(), where),
    stream: (query: Query<Doc>) => scan(source(), query),
  };
}

type Writes = Pick<Collection<Doc>, "insert" | "update" | "bulk" | "delete">;

function writes({ send }: Engine, model: string, workspace: string): Writes {
  return {
    insert: async (doc) => (await send({ method: "insert", model, workspace, doc })) as Outcome<Doc>,
    update: async (id: string, change: Change<Doc>, guard?: Guard<Doc>) => {
      const update = { id, change, guard };
      const updated = (await send({ method: "update", model, workspace, update })) as Updated;
      if (updated.kind === "conflict") throw fail("DOCUMENT_CONFLICT", { model, index: updated.index });
      return updated.kind === "applied" ? (updated.doc as Doc & Fields) : undefined;
    },
    bulk: async (list) =>
      list.length === 0 ? [] : ((await send({ method: "bulk", model, workspace, writes: list })) as Outcome<Doc>[]),
    delete: async (id) => (await send({ method: "delete", model, workspace, id })) as boolean,
  };
}
