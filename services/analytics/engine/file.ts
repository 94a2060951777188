import { existsSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join } from "node:path";
import { type DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";

/** Where the file is, what may be held in memory, and what the tables in it are. */
export interface FileOptions {
  path: string;
  memoryMb: number;
  /** Statements that make the tables in a new file. */
  schema: readonly string[];
  /** What the table `version`, which `schema` makes, says. A file that says something else is of another version. */
  fingerprint: string;
  /** Folder that COPY may write to and read from, and nothing else of the machine; absent: none. */
  exports?: string;
}

/** An open file with the one connection that writes it. */
export interface OpenFile {
  instance: DuckDBInstance;
  writer: DuckDBConnection;
}

/** DuckDB works with so many threads at most: it shares the machine with the log, the store and the gateway. */
const MOST_THREADS = 4;

/** What is spilled to the disk ends here, so that one query cannot fill it. */
const MOST_SPILLED = "4GB";

/**
 * Opens or makes the file. One that is damaged, or that another version made, is deleted and made anew, empty: all that
 * it held can be made again from the log. What is wrong with the disk or with rights is thrown, and nothing is deleted.
 */
export async function openFile(options: FileOptions): Promise<OpenFile> {
  if (!existsSync(options.path)) deleteFile(options.path); // a write-ahead file without its file is of no use
  const opened = await tryFile(options);
  if (opened !== undefined) return opened;
  deleteFile(options.path);
  const fresh = await tryFile(options);
  if (fresh === undefined) throw new Error(`DuckDB cannot make a file at ${options.path}`);
  return fresh;
}

/** Deletes the file and what DuckDB keeps beside it: its write-ahead files and what it spilled. */
export function deleteFile(path: string): void {
  const folder = dirname(path);
  const names = existsSync(folder) ? readdirSync(folder) : [];
  for (const name of names) {
    if (name === basename(path) || name.startsWith(`${basename(path)}.`))
      rmSync(join(folder, name), { recursive: true });
  }
}

/** Undefined: the file cannot be read, or has other tables. */
async function tryFile(options: FileOptions): Promise<OpenFile | undefined> {
  let instance: DuckDBInstance;
  try {
    instance = await DuckDBInstance.create(options.path, settings(options));
  } catch (cause) {
    if (isOfTheMachine(cause)) throw cause;
    return undefined;
  }
  try {
    const writer = await instance.connect();
    await shutIn(writer, options);
    if (await hasShape(writer, options)) return { instance, writer };
    writer.closeSync();
  } catch (cause) {
    if (!isDamage(cause)) throw cause;
  }
  instance.closeSync();
  return undefined;
}

function settings({ path, memoryMb }: FileOptions): Record<string, string> {
  return {
    memory_limit: `${memoryMb}MB`,
    threads: String(Math.min(availableParallelism(), MOST_THREADS)),
    temp_directory: `${path}.spill`,
    max_temp_directory_size: MOST_SPILLED,
    // What is in the write-ahead file is read at start; beyond this it is moved into the file.
    checkpoint_threshold: "32MB",
    allow_community_extensions: "false",
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
  };
}

/** From here on no statement reaches any file of the machine but those in the folder for exports. */
async function shutIn(writer: DuckDBConnection, { exports }: FileOptions): Promise<void> {
  if (exports !== undefined) await writer.run(`SET allowed_directories = ['${exports.replaceAll("'", "''")}/']`);
  await writer.run("SET enable_external_access = false");
}

/** Makes the tables in an empty file; whether the file is of this version. */
async function hasShape(writer: DuckDBConnection, { schema, fingerprint }: FileOptions): Promise<boolean> {
  const found = await writer.runAndReadAll("SELECT table_name AS name FROM duckdb_tables() WHERE NOT internal");
  const names = found.getRowObjects().map(({ name }) => String(name));
  if (names.length > 0) {
    if (!names.includes("version")) return false;
    const [row] = (await writer.runAndReadAll("SELECT fingerprint FROM version")).getRowObjects();
    return row?.fingerprint === fingerprint;
  }
  await writer.run("BEGIN");
  for (const statement of schema) await writer.run(statement);
  await writer.run("COMMIT");
  return true;
}

const OF_THE_MACHINE =
  /set lock|ermission denied|No space left|Read-only file system|Too many open files|Is a directory|Cannot open file|Input\/output error|Quota exceeded/;
const DAMAGE =
  /Corrupt (database|WAL)|Could not read enough bytes|not a valid DuckDB|Serialization Error|replaying WAL/;
const INVALID = /has been invalidated|FATAL Error/;

function isOfTheMachine(error: unknown): boolean {
  return OF_THE_MACHINE.test(messageOf(error));
}

/** Whether the bytes of the file are not what was written. */
export function isDamage(error: unknown): boolean {
  return DAMAGE.test(messageOf(error));
}

/** Whether DuckDB refuses to go on with this file until it is opened again: the disk was full. */
export function isInvalid(error: unknown): boolean {
  return INVALID.test(messageOf(error));
}

/** What DuckDB says went wrong. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "";
}
