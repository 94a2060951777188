import { DatabaseSync, type StatementSync } from "node:sqlite";
import { LRUCache } from "lru-cache";

/** A connection with its prepared statements. */
export interface Connection {
  db: DatabaseSync;
  /** The prepared statement of this SQL, made once. Rows come as arrays. */
  prepare: (sql: string) => StatementSync;
  close: () => void;
}

/** How to open. */
export interface ConnectionOptions {
  path: string;
  /** For a connection that only reads; the file must exist. */
  readOnly?: boolean;
  /** Overwrite what is deleted with zeros. */
  secureDelete?: boolean;
  /** Upper bound of the page cache, KiB. */
  cacheKib: number;
  /** How long to wait for another process that holds the lock. Default 5 s. */
  lockTimeoutMs?: number;
}

/** Opens a connection: WAL, every commit on the disk before it is confirmed, and bounded memory. */
export function connect(options: ConnectionOptions): Connection {
  const { path, readOnly = false, secureDelete = false, cacheKib, lockTimeoutMs = 5_000 } = options;
  const db = new DatabaseSync(path, { readOnly, timeout: lockTimeoutMs, enableForeignKeyConstraints: false });
  try {
    if (readOnly) db.exec("PRAGMA query_only = ON");
    else db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 134217728");
    db.exec(`PRAGMA cache_size = -${cacheKib}; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY`);
    db.exec(`PRAGMA secure_delete = ${secureDelete ? "ON" : "OFF"}; PRAGMA wal_autocheckpoint = 32000`);
  } catch (error) {
    db.close();
    throw error;
  }
  const statements = new LRUCache<string, StatementSync>({ max: 512 });
  const prepare = (sql: string): StatementSync => {
    const known = statements.get(sql);
    if (known !== undefined) return known;
    const statement = db.prepare(sql, { returnArrays: true });
    statements.set(sql, statement);
    return statement;
  };
  return { db, prepare, close: () => db.close() };
}
