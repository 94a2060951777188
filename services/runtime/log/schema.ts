import { DatabaseSync } from "node:sqlite";

const VERSION = 1;

/** SQLite's result code of a file that cannot grow. */
const SQLITE_FULL = 13;

// `entries_by_subject` ends in the rowid, which is the position: it serves "of this subject, after that position, in order"
// without sorting. Partitions need no index: they are even by construction, so a scan finds each 16th row.
// A batch is found by id, and forgotten by age from its lowest position up.
const TABLES = `
  CREATE TABLE IF NOT EXISTS entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    partition INTEGER NOT NULL,
    subject TEXT NOT NULL,
    appended_at INTEGER NOT NULL,
    payload BLOB NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS entries_by_subject ON entries (subject);
  CREATE TABLE IF NOT EXISTS batches (
    position INTEGER PRIMARY KEY,
    batch_id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS pulse (id INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
`;

/** Opens the file of a log for its writer, making it at first use. Each commit is on the disk when it returns. */
export function openForWriting(path: string, maxBytes?: number): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 5000 });
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON");
  db.exec("PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384");
  const { user_version: found } = db.prepare("PRAGMA user_version").get() as { user_version: number };
  if (found > VERSION) throw new Error(`the log was written by a newer Waymark (format ${found}, known ${VERSION})`);
  db.exec(`BEGIN IMMEDIATE; ${TABLES} PRAGMA user_version = ${VERSION}; COMMIT`);
  if (maxBytes !== undefined) {
    const { page_size: pageBytes } = db.prepare("PRAGMA page_size").get() as { page_size: number };
    db.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(maxBytes / pageBytes))}`);
  }
  return db;
}

/** Opens the file of a log, which exists, for reading. */
export function openForReading(path: string): DatabaseSync {
  return new DatabaseSync(path, { readOnly: true, timeout: 5000 });
}

/** Why SQLite did not do what it was asked, in words that hold no payload. */
export function whyOf(cause: unknown): string {
  if ((cause as { errcode?: number }).errcode === SQLITE_FULL) return "the disk is full";
  return cause instanceof Error ? cause.message : "it failed";
}
