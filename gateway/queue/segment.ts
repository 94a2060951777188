import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Contents, type Owner, readFrames, type Seal } from "./frame.ts";

/** One file of the queue. */
export interface Segment {
  /** Name of the file: "00000012.touches". */
  place: string;
  path: string;
  /** Of whole frames. What comes behind them in the file counts as not written. */
  bytes: number;
  /** Touches in it that intake has not acknowledged, by id. */
  pending: Map<string, Owner>;
  /** How many of these somebody still tries to bring by himself. */
  held: number;
  /** Open while it is written to. */
  file: FileHandle | undefined;
}

/** Names of files, ascending as the files were made. "00000012.touches" */
const NAME = /^(\d{8,15})\.touches$/;

/** The numbers of the files among these names, ascending. */
export function numbersOf(names: readonly string[]): number[] {
  return names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => a - b);
}

/** The segment of a number, before anything is known of it. */
export function segmentOf(folder: string, number: number): Segment {
  const place = `${String(number).padStart(8, "0")}.touches`;
  return { place, path: join(folder, place), bytes: 0, pending: new Map(), held: 0, file: undefined };
}

/** Makes the file, readable by the owner alone, and has the folder remember it. */
export async function create(segment: Segment, folder: string): Promise<void> {
  segment.file = await open(segment.path, "wx", 0o600);
  const directory = await open(folder, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Writes a frame behind the others; resolves when it is on the disk. */
export async function append(segment: Segment, frame: Buffer): Promise<void> {
  const file = segment.file as FileHandle;
  const { bytesWritten } = await file.write(frame, 0, frame.length, segment.bytes);
  if (bytesWritten < frame.length) throw new Error(`only ${bytesWritten} of ${frame.length} bytes could be written`);
  await file.datasync();
  segment.bytes += frame.length;
}

/** What stands in the file. */
export async function contentsOf(segment: Segment, key: Buffer): Promise<Contents & { allBytes: number }> {
  const file = await readFile(segment.path);
  const seal: Seal = { key, place: segment.place };
  const known = segment.bytes > 0 ? file.subarray(0, segment.bytes) : file;
  return { ...readFrames(known, seal), allBytes: file.length };
}

/** Empties the file. */
export async function empty(segment: Segment): Promise<void> {
  await segment.file?.truncate(0);
  segment.bytes = 0;
}

/** Nothing is written to it any more. */
export async function finish(segment: Segment): Promise<void> {
  const { file } = segment;
  segment.file = undefined;
  await file?.close();
}

/** Deletes the file. */
export async function drop(segment: Segment): Promise<void> {
  await finish(segment);
  await rm(segment.path, { force: true });
}

/** Takes a file that cannot be read out of the queue, and keeps it for whoever can. */
export async function setAside(segment: Segment): Promise<void> {
  await finish(segment);
  await rename(segment.path, `${segment.path}.unreadable`);
}
