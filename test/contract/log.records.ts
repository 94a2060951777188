import type { Log, LogEntry, LogRecord, ReadOptions } from "#runtime/log.ts";

/** The log of the test at hand. `reopen` closes it and opens it again. */
export interface Access {
  log: () => Log;
  reopen: (limits?: { maxQueueBytes?: number }) => Promise<Log>;
}

/** A record whose payload says who it is. */
export function record(text: string, over: Partial<LogRecord> = {}): LogRecord {
  return { subject: "touches.marketing", key: "code_1", payload: Buffer.from(text), ...over };
}

/** Text of a record made by `record`. */
export function textOf(entry: LogEntry): string {
  return Buffer.from(entry.payload).toString();
}

/** All that a reading without `follow` gives. */
export async function readAll(log: Pick<Log, "read">, options: Partial<ReadOptions> = {}): Promise<LogEntry[]> {
  const chunks = await Array.fromAsync(log.read({ after: 0, ...options }));
  return chunks.flat();
}

/** Reads on until so many entries have come, then aborts. */
export async function follow(log: Log, count: number, options: Partial<ReadOptions> = {}): Promise<LogEntry[]> {
  const stop = new AbortController();
  const entries: LogEntry[] = [];
  for await (const chunk of log.read({ after: 0, follow: stop.signal, ...options })) {
    entries.push(...chunk);
    if (entries.length >= count) stop.abort();
  }
  return entries;
}

/** Text of a record as `record` made it. */
export function textOfRecord({ payload }: LogRecord): string {
  return Buffer.from(payload).toString();
}
