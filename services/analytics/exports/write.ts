import { createHash } from "node:crypto";
import { createReadStream, mkdirSync } from "node:fs";
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Duck, Session } from "../engine/duck.ts";
import { fail } from "../reasons.ts";
import type { ExportDoc, FileEntry } from "./model.ts";
import { copyOptions, fileName, type Selection, selectionOf } from "./rows.ts";

/** Rows of the table that a file goes over: a file has at most so many. */
const FILE_ROWS = 1_000_000;

const GB = 1024 ** 3;

/** What is written, where, and who hears of it. */
export interface Writing {
  duck: Duck;
  workspace: string;
  doc: ExportDoc;
  /** Folder of this export. */
  folder: string;
  signal: AbortSignal;
  /** The most gigabytes of all exports on this disk, looked at before each file. */
  maxGb: number;
  /** Told at the beginning and after each file. */
  onProgress: (progress: { upTo: number; rows: number; totalRows: number }) => Promise<void>;
}

/** Writes all files of an export in one snapshot. A file has its name only when it is whole and on the disk. */
export async function writeFiles(writing: Writing): Promise<{ upTo: number; files: FileEntry[] }> {
  const { duck, workspace, doc, folder, signal, maxGb, onProgress } = writing;
  await rm(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return duck.snapshot(async (session) => {
    const [mark] = await session.rows(
      "SELECT position, (SELECT coalesce(max(rowid), -1) FROM events) AS last FROM watermark",
    );
    const position = Number(mark?.position ?? 0);
    const upTo = doc.upTo ?? position;
    // Made again by a replica that has not read as far: it would leave out rows of the same moment.
    if (upTo > position) throw fail("NOT_READY");
    const selection = selectionOf(workspace, doc, upTo);
    const totalRows = await countOf(session, selection);
    await onProgress({ upTo, rows: 0, totalRows });
    const files: FileEntry[] = [];
    let rows = 0;
    for (let first = 0; first <= Number(mark?.last ?? -1); first += FILE_ROWS) {
      const part = { ...selection, from: `${selection.from} AND row_id >= ${first} AND row_id < ${first + FILE_ROWS}` };
      const count = await countOf(session, part);
      if (count === 0) continue;
      if ((await bytesIn(dirname(folder))) >= maxGb * GB) throw fail("EXPORTS_FULL", { gb: maxGb });
      const number = files.length + 1;
      files.push(await writeFile(session, part, { doc, folder, number, rows: count, signal }));
      rows += count;
      await onProgress({ upTo, rows, totalRows });
    }
    return { upTo, files };
  }, signal);
}

async function countOf(session: Session, { from, params }: Selection): Promise<number> {
  const sql = `SELECT count(*) AS n FROM ${from}`;
  const [row] = await session.rows(sql, params);
  return Number(row?.n ?? 0);
}

async function writeFile(
  session: Session,
  { columns, from, params }: Selection,
  given: Pick<Writing, "doc" | "folder" | "signal"> & { number: number; rows: number },
): Promise<FileEntry> {
  const { doc, folder, number, rows, signal } = given;
  const name = fileName(doc, number);
  const path = join(folder, name);
  const unfinished = `${path}.part`;
  const target = unfinished.replaceAll("'", "''");
  const sql = `COPY (SELECT ${columns} FROM ${from}) TO '${target}' (${copyOptions(doc)})`;
  await session.run(sql, params);
  const sha256 = await hashOf(unfinished, signal);
  const file = await open(unfinished, "r+");
  await file.sync();
  await file.close();
  await rename(unfinished, path);
  return { number, name, rows, bytes: (await stat(path)).size, sha256 };
}

async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await sizeOf(join(parentPath, name))) ?? 0),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Undefined for a file that somebody has just removed. */
async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

async function hashOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024, signal })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
