import {
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBType,
  type DuckDBValue,
} from "@duckdb/node-api";
import { fail } from "./reasons.ts";

/** Values of the named parameters of a statement: `$workspace` → `{ workspace }`. */
export type Params = Readonly<Record<string, DuckDBValue>>;

/** A row as DuckDB gives it: BIGINT is bigint, NULL is null. */
export type Row = Readonly<Record<string, DuckDBValue>>;

/** How long a query may run, in milliseconds. */
const QUERY_TIMEOUT_MS = 10_000;

/** Queries that run at once, and queries that may wait for their turn. */
const READERS = 2;
const WAITING = 64;

/** One DuckDB file: one writer connection, and a few readers that see committed data only. */
export interface Duck {
  /** Runs a reading statement; values are always bound. Throws BUSY or QUERY_TIMEOUT. */
  rows: (sql: string, params?: Params) => Promise<Row[]>;
  /** Runs a writing statement on the writer connection. */
  write: (sql: string, params?: Params) => Promise<void>;
  /** Appends columns of equal length to a table of the writer connection. */
  append: (table: string, columns: readonly { type: DuckDBType; values: readonly DuckDBValue[] }[]) => Promise<void>;
  close: () => void;
}

/** Opens or makes the file. Memory is held to `memoryMb`; what does not fit is spilled beside the file. */
export async function openDuck(options: { path: string; memoryMb: number }): Promise<Duck> {
  const instance = await DuckDBInstance.create(options.path, {
    memory_limit: `${options.memoryMb}MB`,
    threads: "2",
    temp_directory: `${options.path}.spill`,
    allow_community_extensions: "false",
    autoinstall_known_extensions: "false",
    enable_external_access: "false",
  });
  const writer = await instance.connect();
  const readers = await Promise.all(Array.from({ length: READERS }, () => instance.connect()));
  const turns = openTurns(readers);
  return {
    rows: (sql, params) => turns.take((reader) => query(reader, { sql, params })),
    write: async (sql, params) => {
      await writer.run(sql, params as never);
    },
    append: async (table, columns) => append(writer, { table, columns }),
    close: () => {
      for (const connection of [...readers, writer]) connection.closeSync();
      instance.closeSync();
    },
  };
}

async function query(reader: DuckDBConnection, statement: { sql: string; params: Params | undefined }): Promise<Row[]> {
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    reader.interrupt();
  }, QUERY_TIMEOUT_MS);
  try {
    return (await reader.runAndReadAll(statement.sql, statement.params as never)).getRowObjects();
  } catch (cause) {
    if (timedOut) throw fail("QUERY_TIMEOUT", {}, cause);
    throw cause;
  } finally {
    clearTimeout(timer);
  }
}

/** DuckDB takes at most so many rows in one chunk. */
const CHUNK_ROWS = 2_048;

async function append(
  writer: DuckDBConnection,
  rows: { table: string; columns: readonly { type: DuckDBType; values: readonly DuckDBValue[] }[] },
): Promise<void> {
  const { table, columns } = rows;
  const length = columns[0]?.values.length ?? 0;
  const appender = await writer.createAppender(table);
  const types = columns.map(({ type }) => type);
  for (let begin = 0; begin < length; begin += CHUNK_ROWS) {
    const end = Math.min(begin + CHUNK_ROWS, length);
    const chunk = DuckDBDataChunk.create(types, end - begin);
    chunk.setColumns(columns.map(({ values }) => values.slice(begin, end)));
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
}

/** Hands connections out one by one, first come, first served; a bounded number may wait. */
function openTurns(connections: readonly DuckDBConnection[]) {
  const free = [...connections];
  const waiting: ((connection: DuckDBConnection) => void)[] = [];
  return {
    async take<T>(use: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
      if (free.length === 0 && waiting.length >= WAITING) throw fail("BUSY");
      const connection = free.pop() ?? (await new Promise<DuckDBConnection>((resolve) => waiting.push(resolve)));
      try {
        return await use(connection);
      } finally {
        const next = waiting.shift();
        if (next === undefined) free.push(connection);
        else next(connection);
      }
    },
  };
}
