import {
  BIGINT,
  BOOLEAN,
  type DuckDBConnection,
  type DuckDBType,
  type DuckDBValue,
  LIST,
  listValue,
  VARCHAR,
} from "@duckdb/node-api";
import { fail } from "../reasons.ts";
import { messageOf } from "./file.ts";

/** Values of the named parameters of a statement: `$workspace` → `{ workspace }`. */
export type Params = Readonly<Record<string, string | boolean | bigint | readonly string[] | readonly bigint[]>>;

/** A row as DuckDB gives it: BIGINT is bigint, NULL is null. */
export type Row = Readonly<Record<string, DuckDBValue>>;

/** A statement, how long it may run, and who may call it off. */
export interface Query {
  sql: string;
  params: Params;
  timeoutMs: number;
  signals: readonly AbortSignal[];
}

/** An interrupt that comes between parsing and running is lost; it is repeated until the query has ended. */
const AGAIN_MS = 50;

/** Reads all rows. Throws QUERY_TIMEOUT, QUERY_TOO_LARGE, or the reason of the signal that called it off. */
export async function readRows(reader: DuckDBConnection, query: Query): Promise<Row[]> {
  const watch = interruptInTime(reader, query);
  try {
    const { values, types } = bind(query.sql, query.params);
    return (await reader.runAndReadAll(query.sql, values, types)).getRowObjects();
  } catch (cause) {
    if (watch.why !== undefined) throw watch.why;
    if (/Out of Memory/.test(messageOf(cause))) throw fail("QUERY_TOO_LARGE", {}, cause);
    throw cause;
  } finally {
    watch.end();
  }
}

/** Runs a statement without an end in time. */
export async function run(connection: DuckDBConnection, sql: string, params: Params = {}): Promise<void> {
  const { values, types } = bind(sql, params);
  await connection.run(sql, values, types);
}

// Each value with its type: a bigint would otherwise be a HUGEINT, which no column is, and comparing would convert every row.
// A value for which the statement has no parameter is left out: the parts that questions are made of have more than each needs.
function bind(sql: string, params: Params) {
  const named = new Set(Array.from(sql.matchAll(/\$([A-Za-z_]\w*)/g), ([, name]) => name));
  const values: Record<string, DuckDBValue> = {};
  const types: Record<string, DuckDBType> = {};
  for (const [name, value] of Object.entries(params)) {
    if (!named.has(name)) continue;
    if (typeof value === "string") [values[name], types[name]] = [value, VARCHAR];
    else if (typeof value === "boolean") [values[name], types[name]] = [value, BOOLEAN];
    else if (typeof value === "bigint") [values[name], types[name]] = [value, BIGINT];
    else [values[name], types[name]] = [listValue(value), LIST(typeof value[0] === "bigint" ? BIGINT : VARCHAR)];
  }
  return { values, types };
}

function interruptInTime(reader: DuckDBConnection, { timeoutMs, signals }: Query) {
  const watch = { why: undefined as unknown, end: () => {} };
  let timer = setTimeout(() => stop(fail("QUERY_TIMEOUT")), timeoutMs);
  const stop = (why: unknown): void => {
    watch.why ??= why;
    reader.interrupt();
    clearTimeout(timer);
    timer = setTimeout(stop, AGAIN_MS, why);
  };
  const onAbort = (event: Event): void => stop((event.target as AbortSignal).reason);
  for (const signal of signals) signal.addEventListener("abort", onAbort);
  watch.end = () => {
    clearTimeout(timer);
    for (const signal of signals) signal.removeEventListener("abort", onAbort);
  };
  return watch;
}
