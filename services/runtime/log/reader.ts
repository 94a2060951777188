import type { DatabaseSync, StatementSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Log, type LogEntry, PARTITIONS, type ReadOptions } from "../log.ts";
import { openNews } from "./news.ts";
import { fail } from "./reasons.ts";
import { openForReading, whyOf } from "./schema.ts";

const CHUNK_ENTRIES = 256;
/** A chunk ends here even if it has fewer entries, so that reading never holds up its thread for long. */
const CHUNK_BYTES = 4 * 1024 * 1024;
/** Readers look by themselves so often, for the case that an announcement did not reach them. */
const POLL_MS = 1000;

/** Reads a log; any thread may have one. */
export interface LogReader extends Pick<Log, "read" | "head" | "start" | "close"> {
  /** The position of a batch that is still remembered. */
  positionOf: (batchId: string) => number | undefined;
}

/** Opens a reader of a log whose file exists. `path` is absolute. */
export function openReader(path: string): LogReader {
  const db = answering(() => openForReading(path));
  const last = db.prepare("SELECT coalesce(max(seq), 0) AS head FROM sqlite_sequence WHERE name = 'entries'");
  const first = db.prepare("SELECT coalesce(min(position) - 1, 0) AS start FROM entries");
  const batch = db.prepare("SELECT position FROM batches WHERE batch_id = ?");
  const headNow = () => answering(() => (last.get() as { head: number }).head);
  const chunkOf = chunks(db);
  const news = openNews(path);

  async function* read(options: ReadOptions): AsyncGenerator<LogEntry[]> {
    const { follow } = options;
    let { after } = options;
    if (news.isClosed()) throw fail("LOG_UNAVAILABLE", { why: "it is closed" });
    while (!news.isClosed() && follow?.aborted !== true) {
      const seen = news.count();
      const head = headNow();
      const entries = answering(() => chunkOf({ ...options, after }));
      if (entries.length > 0) {
        after = (entries.at(-1) as LogEntry).position;
        yield entries;
        await nextTurn();
      } else if (follow === undefined) return;
      else {
        after = Math.max(after, head); // what lies up to there is of other subjects or partitions
        await news.wait({ seen, subjects: options.subjects, signal: follow, timeoutMs: POLL_MS });
      }
    }
  }

  return {
    read,
    head: async () => headNow(),
    start: async () => answering(() => (first.get() as { start: number }).start),
    positionOf: (batchId) => (batch.get(batchId) as { position: number } | undefined)?.position,
    close: async () => {
      if (news.isClosed()) return;
      news.close();
      db.close();
    },
  };
}

function answering<R>(run: () => R): R {
  try {
    return run();
  } catch (cause) {
    throw fail("LOG_UNAVAILABLE", { why: whyOf(cause) }, cause);
  }
}

function chunks(db: DatabaseSync): (options: ReadOptions) => LogEntry[] {
  const statements = new Map<number | undefined, StatementSync>();
  return ({ after, subjects, partitions, chunk = CHUNK_ENTRIES }) => {
    if (subjects?.length === 0 || partitions?.length === 0) return [];
    const wanted = subjects && [...new Set(subjects)];
    const statement = statements.get(wanted?.length) ?? db.prepare(selection(wanted?.length));
    statements.set(wanted?.length, statement);
    const entries: LogEntry[] = [];
    let sizeBytes = 0;
    for (const row of statement.iterate(after, maskOf(partitions), chunk, ...(wanted ?? []))) {
      const entry = row as unknown as LogEntry;
      entries.push({ ...entry });
      sizeBytes += entry.payload.byteLength;
      if (sizeBytes >= CHUNK_BYTES) break;
    }
    return entries;
  };
}

// One ordered index scan a subject, merged: neither a sort nor a walk over the entries of other subjects.
function selection(subjects: number | undefined): string {
  const columns = "SELECT position, partition, subject, payload, appended_at AS appendedAt FROM entries";
  const where = "position > ?1 AND (?2 >> partition) & 1";
  const terms =
    subjects === undefined
      ? [`${columns} WHERE ${where}`]
      : Array.from({ length: subjects }, (_, index) => `${columns} WHERE subject = ?${index + 4} AND ${where}`);
  return `${terms.join(" UNION ALL ")} ORDER BY position LIMIT ?3`;
}

function maskOf(partitions: readonly number[] | undefined): number {
  if (partitions === undefined) return 2 ** PARTITIONS - 1;
  return partitions.reduce((mask, partition) => mask | (1 << partition), 0);
}
