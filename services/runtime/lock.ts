import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/**
 * Holds a data folder for this process alone. The lock is SQLite's own file lock, so it ends with the process however
 * that ends. Throws an Error that says what to do when the folder cannot be used or another process holds it.
 */
export function lockFolder(folder: string): { release: () => void } {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(folder, { recursive: true });
    database = new DatabaseSync(join(folder, "lock.db"), { timeout: 0 });
    database.exec("PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;");
  } catch (cause) {
    database?.close();
    throw new Error(sentence(folder, cause), { cause });
  }
  const held = database;
  return { release: () => held.close() };
}

/** SQLite's result codes for a file that somebody else has locked. */
const BUSY = [5, 6];

function sentence(folder: string, cause: unknown): string {
  const { code, errcode } = cause as { code?: string; errcode?: number };
  if (errcode !== undefined && BUSY.includes(errcode & 0xff)) {
    return `the data folder ${folder} is in use by another Waymark process; stop it, or set WAYMARK_DATA to another folder`;
  }
  if (code === "ENOSPC" || errcode === 13)
    return `the disk of the data folder ${folder} is full; free some space and start again`;
  return `the data folder ${folder} cannot be written to (${code ?? errcode}); check its owner and rights, or set WAYMARK_DATA`;
}
