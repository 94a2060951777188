import {
  closeSync,
  existsSync,
  fdatasyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";

/** A file of lines, and how far in the stream it goes. */
export interface Output {
  /** All up to this position of the stream is in the file. */
  readonly position: number;
  /** Adds the lines, and notes that they go up to this position. */
  write: (lines: string, position: number) => void;
  close: () => void;
}

interface Saved {
  position: number;
  sizeBytes: number;
}

/**
 * Opens the file and, beside it, `<path>.position`. The lines are on the disk before the position says so; what a process that
 * was killed in between had added is cut off, and comes again.
 */
export function openOutput(path: string): Output {
  const notes = `${path}.position`;
  const saved: Saved = existsSync(notes)
    ? (JSON.parse(readFileSync(notes, "utf8")) as Saved)
    : { position: 0, sizeBytes: 0 };
  const file = openSync(path, "a");
  ftruncateSync(file, saved.sizeBytes);
  return {
    get position() {
      return saved.position;
    },
    write: (lines, position) => {
      const bytes = Buffer.from(lines);
      for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
      fdatasyncSync(file);
      saved.position = position;
      saved.sizeBytes += bytes.length;
      writeFileSync(`${notes}.new`, JSON.stringify(saved), { flush: true });
      renameSync(`${notes}.new`, notes);
    },
    close: () => closeSync(file),
  };
}
