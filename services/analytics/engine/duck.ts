import { setImmediate as nextTurn } from "node:timers/promises";
import { type DuckDBConnection, DuckDBDataChunk, type DuckDBType, type DuckDBValue } from "@duckdb/node-api";
import { fail } from "../reasons.ts";
import { deleteFile, type FileOptions, isDamage, isInvalid, type OpenFile, openFile } from "./file.ts";
import { type Params, type Row, readRows, run } from "./query.ts";
import { openTurns, type Turns } from "./turns.ts";

/** How to open an engine. */
export interface DuckOptions extends FileOptions {
  /** How long a query may run, in milliseconds. Default 10,000. */
  queryTimeoutMs?: number;
}

/** Rows of a table, column by column. */
export interface Columns {
  types: readonly DuckDBType[];
  length: number;
  /** The values of the rows from `begin` to before `end`, a list a column. */
  slice: (begin: number, end: number) => DuckDBValue[][];
}

/** What writes within one transaction. */
export interface Writer {
  run: (sql: string, params?: Params) => Promise<void>;
  append: (table: string, columns: Columns) => Promise<void>;
}

/** Statements of one snapshot. */
export interface Session {
  run: (sql: string, params?: Params) => Promise<void>;
  rows: (sql: string, params?: Params) => Promise<Row[]>;
}

/** One DuckDB file: one writer, and a few readers that see committed data only. */
export interface Duck {
  /** Runs a reading statement; values are always bound. Throws BUSY, QUERY_TIMEOUT, QUERY_TOO_LARGE, NOT_READY. */
  rows: (sql: string, params?: Params, signal?: AbortSignal) => Promise<Row[]>;
  /** Writes in one transaction: all or nothing. One at a time, in the order of the calls. */
  write: (work: (writer: Writer) => Promise<void>) => Promise<void>;
  /**
   * Works in one snapshot of the file, on a connection of its own and without an end in time: for what writes files. One at
   * a time; throws BUSY when another is waiting already.
   */
  snapshot: <R>(work: (session: Session) => Promise<R>, signal: AbortSignal) => Promise<R>;
  /** Aborts when the file can be used no longer, until `heal` has opened it again. */
  fault: () => AbortSignal;
  /** Opens the file again after a fault, empty if it is damaged; without a fault it does nothing. */
  heal: () => Promise<void>;
  /** Calls off what is running and closes the file. */
  close: () => Promise<void>;
}

const QUERY_TIMEOUT_MS = 10_000;

/** Queries that run at once, and queries that may wait for their turn. */
const READERS = 2;
const WAITING = 64;

/** Writes that may wait: there are two writers, the feed and what deletes old events, and each has one write at a time. */
const WRITES_WAITING = 2;

interface Life extends OpenFile {
  turns: Turns<DuckDBConnection>;
  readers: readonly DuckDBConnection[];
  writers: Turns<DuckDBConnection>;
  exporters: Turns<DuckDBConnection>;
  exporter: DuckDBConnection;
  fault: AbortController;
  closing: AbortController;
  isDamaged: boolean;
}

/** Opens or makes the file. Memory is held to `memoryMb`; what does not fit is spilled beside the file. */
export async function openDuck(options: DuckOptions): Promise<Duck> {
  const { queryTimeoutMs: timeoutMs = QUERY_TIMEOUT_MS } = options;
  let life: Life | undefined = await begin(options);
  const alive = (): Life => {
    if (life === undefined || life.fault.signal.aborted) throw fail("NOT_READY");
    return life;
  };
  const end = async (): Promise<void> => {
    const last = life;
    life = undefined;
    if (last === undefined) return;
    await shut(last);
    if (last.isDamaged) deleteFile(options.path);
  };
  return {
    rows: async (sql, params = {}, signal) => {
      const current = alive();
      const signals = signal === undefined ? [current.closing.signal] : [current.closing.signal, signal];
      const read = (reader: DuckDBConnection) => readRows(reader, { sql, params, timeoutMs, signals });
      return current.turns.take(read, signal).catch((error) => blame(current, error));
    },
    snapshot: async (work, signal) => {
      const current = alive();
      const ends = AbortSignal.any([current.closing.signal, signal]);
      const inside = (connection: DuckDBConnection) => inSnapshot(connection, work, ends);
      return current.exporters.take(inside, signal).catch((error) => blame(current, error));
    },
    write: async (work) => {
      const current = alive();
      const inside = (writer: DuckDBConnection) => transact(writer, work);
      await current.writers.take(inside).catch((error) => blame(current, error));
    },
    fault: () => life?.fault.signal ?? AbortSignal.abort(),
    heal: async () => {
      if (life !== undefined && !life.fault.signal.aborted) return;
      await end();
      life = await begin(options);
    },
    close: end,
  };
}

async function begin(options: FileOptions): Promise<Life> {
  const file = await openFile(options);
  const readers = await Promise.all(Array.from({ length: READERS }, () => file.instance.connect()));
  const turns = openTurns(readers, WAITING);
  const writers = openTurns([file.writer], WRITES_WAITING);
  const exporter = await file.instance.connect();
  const exporters = openTurns([exporter], 1);
  const [fault, closing] = [new AbortController(), new AbortController()];
  return { ...file, readers, turns, writers, exporter, exporters, fault, closing, isDamaged: false };
}

async function shut(life: Life): Promise<void> {
  const { instance, writer, readers, turns, writers, exporter, exporters, closing } = life;
  closing.abort(fail("NOT_READY"));
  await Promise.all([turns.close(), writers.close(), exporters.close()]);
  for (const connection of [...readers, exporter, writer]) connection.closeSync();
  instance.closeSync();
}

/** Passes an error on; one that says that the file cannot be used is noted, and the caller may come again. */
function blame(life: Life, error: unknown): never {
  if (!isDamage(error) && !isInvalid(error)) throw error;
  life.isDamaged ||= isDamage(error);
  life.fault.abort();
  throw fail("NOT_READY", {}, error);
}

async function inSnapshot<R>(
  connection: DuckDBConnection,
  work: (session: Session) => Promise<R>,
  signal: AbortSignal,
): Promise<R> {
  signal.throwIfAborted();
  const query = (sql: string, params: Params = {}) => ({ sql, params, timeoutMs: FOR_GOOD, signals: [signal] });
  await run(connection, "BEGIN TRANSACTION READ ONLY");
  try {
    return await work({
      run: async (sql, params) => void (await readRows(connection, query(sql, params))),
      rows: (sql, params) => readRows(connection, query(sql, params)),
    });
  } finally {
    await run(connection, "ROLLBACK").catch(() => undefined);
  }
}

/** The longest time of a timer, 24 days. */
const FOR_GOOD = 2 ** 31 - 1;

async function transact(writer: DuckDBConnection, work: (writer: Writer) => Promise<void>): Promise<void> {
  await run(writer, "BEGIN");
  try {
    await work({
      run: (sql, params) => run(writer, sql, params),
      append: (table, columns) => append(writer, { table, columns }),
    });
    await run(writer, "COMMIT");
  } catch (error) {
    await run(writer, "ROLLBACK").catch(() => undefined);
    throw error;
  }
}

/** So many rows are handed over before other work has its turn; DuckDB takes at most 2,048 in a chunk. */
const CHUNK_ROWS = 512;

async function append(writer: DuckDBConnection, rows: { table: string; columns: Columns }): Promise<void> {
  const { types, length, slice } = rows.columns;
  const appender = await writer.createAppender(rows.table);
  try {
    for (let first = 0; first < length; first += CHUNK_ROWS) {
      const end = Math.min(first + CHUNK_ROWS, length);
      const chunk = DuckDBDataChunk.create(types, end - first);
      chunk.setColumns(slice(first, end));
      appender.appendDataChunk(chunk);
      await nextTurn();
    }
  } catch (error) {
    appender.clear(); // nothing of it may be written later, outside this transaction
    throw error;
  } finally {
    appender.closeSync();
  }
}
