import { existsSync, mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";

/**
 * Holds a data folder for this process alone, making it when it is missing. The lock is SQLite's own file lock, so it ends
 * with the process however that ends. Throws an Error that says what to do when the folder cannot be used or another
 * process holds it.
 */
export function lockFolder(folder: string): { release: () => void } {
  let database: DatabaseSync | undefined;
  try {
    makeFolder(resolve(folder));
    database = new DatabaseSync(join(folder, "lock.db"), { timeout: 0 });
    database.exec("PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;");
  } catch (cause) {
    database?.close();
    throw new Error(sentence(folder, cause), { cause });
  }
  const held = database;
  return { release: () => held.isOpen && held.close() };
}

/** As `mkdir -p`. Node's own recursive one does not return where a folder cannot be made and is told to be missing, as in /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (cause) {
    // Another process may have been quicker.
    if (!existsSync(path)) throw cause;
  }
}

/** SQLite's primary result codes for a file that somebody else has locked. https://www.sqlite.org/rescode.html */
const BUSY = [5, 6];
const FULL = 13;

function sentence(folder: string, cause: unknown): string {
  const { code, errcode = 0, errstr } = cause as { code?: string; errcode?: number; errstr?: string };
  const primary = errcode & 0xff;
  if (BUSY.includes(primary)) {
    return `the data folder ${folder} is in use by another Waymark process; stop it, or set WAYMARK_DATA to another folder`;
  }
  if (code === "ENOSPC" || primary === FULL)
    return `the disk of the data folder ${folder} is full; free some space and start again`;
  if (code === "ENOTDIR" || code === "EEXIST")
    return `the data folder ${folder} is no folder, or lies below a file; set WAYMARK_DATA to another folder`;
  return `the data folder ${folder} cannot be written to (${errstr ?? code}); check its owner and rights, or set WAYMARK_DATA`;
}
