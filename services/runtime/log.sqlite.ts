import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import type { WriterData } from "./log/group.ts";
import { AppendQueue } from "./log/queue.ts";
import { type LogReader, openReader } from "./log/reader.ts";
import type { Log } from "./log.ts";

/** How to open a log in a file. */
export interface SqliteLogOptions {
  path: string;
  /** Appends beyond so many bytes that wait for the disk are shed. Default 64 MB. */
  maxQueueBytes?: number;
  /** Appends beyond so many that wait for the disk are shed. Default 20,000. */
  maxQueueAppends?: number;
  /** The file grows to about this size and then takes no more. Without it, until the disk is full. */
  maxBytes?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/**
 * Opens the log in a SQLite file, making it at first use. A thread of its own writes it, so that waiting for the disk never
 * holds up this one; appends that come while it waits become durable together in the next transaction.
 */
export async function openSqliteLog(options: SqliteLogOptions): Promise<Log> {
  const { maxQueueBytes = 64 * 1024 * 1024, maxQueueAppends = 20_000, maxBytes, now = Date.now } = options;
  const path = resolve(options.path);
  mkdirSync(dirname(path), { recursive: true });
  let reader: LogReader | undefined;
  const queue = new AppendQueue({
    startWriter: () => startWriter({ role: "waymark-log-writer", path, maxBytes }),
    positionOf: (batchId) => reader?.positionOf(batchId),
    now,
    maxQueueBytes,
    maxQueueAppends,
  });
  // Batch id of the pings; the ids of appends are never empty.
  const ping = async () => void (await queue.append([], ""));
  await ping();
  const opened = openReader(path);
  reader = opened;
  return {
    append: (records, batchId) => (records.length === 0 ? opened.head() : queue.append(records, batchId)),
    read: opened.read,
    head: opened.head,
    start: opened.start,
    ping,
    close: async () => {
      await queue.drain();
      await opened.close();
      await queue.close(); // the last to close empties the write-ahead file
    },
  };
}

/** Opens a reader of a log for another thread of the process that has it open. */
export function openSqliteLogReader({ path }: { path: string }): Pick<Log, "read" | "head" | "close"> {
  const { read, head, close } = openReader(resolve(path));
  return { read, head, close };
}

/** Starts the thread that writes a log. */
export function startWriter(data: WriterData): Worker {
  const worker = new Worker(new URL("./log/writer.ts", import.meta.url), { workerData: data });
  worker.unref();
  return worker;
}
