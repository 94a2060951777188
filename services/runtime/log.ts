/** Number of partitions of the log; a record's partition is a hash of its key. Fixed for the life of a log. */
export const PARTITIONS = 16;

/** Subjects of the log. Public: docs/events.md describes each. */
export type Subject =
  | "touches.marketing"
  | "touches.ambassador"
  | "touches.lost_and_found"
  | "touches.medical"
  | "touches.touchpoint"
  | "touches.refused"
  | "touches.revised"
  | "visitors.changed"
  | "conversations.updated"
  | "codes.changed"
  | "tags.deleted"
  | "workspaces.changed"
  | "keys.changed";

/** What to append. Records of the same key keep their order. */
export interface LogRecord {
  subject: Subject;
  /** Decides the partition: the code's id for touches. */
  key: string;
  /** A binary message of waymark.events.v1. */
  payload: Uint8Array;
}

/** What stands on the log. */
export interface LogEntry {
  /** Ascending over the whole log, with gaps. The first is above 0. */
  position: number;
  partition: number;
  subject: Subject;
  payload: Uint8Array;
  /** Milliseconds since 1970, by the log's clock. */
  appendedAt: number;
}

/** What to read. */
export interface ReadOptions {
  /** Begin with the first entry above this position. */
  after: number;
  subjects?: readonly Subject[];
  partitions?: readonly number[];
  /** At most so many entries a chunk. Default 256. */
  chunk?: number;
  /** Go on waiting for new entries until this aborts. Without it the reading ends at the head. */
  follow?: AbortSignal;
}

/**
 * One ascending, durable, replayable sequence of records. Consumers keep their own positions; there are no
 * acknowledgements of reading. Engines: `log.sqlite.ts`, `log.jetstream.ts`.
 */
export interface Log {
  /**
   * Appends the records and resolves with the last position when they are durable. Records of one call need not be
   * adjacent. The same batchId again (within some minutes) appends nothing and resolves with the same position.
   * Rejects with OVERLOADED, having appended nothing, when the bounded queue is full.
   */
  append(records: readonly LogRecord[], batchId: string): Promise<number>;
  /** Chunks in ascending order of position, none empty. */
  read(options: ReadOptions): AsyncIterable<LogEntry[]>;
  /** The last position; 0 when empty. */
  head(): Promise<number>;
  /** Entries up to this position were let go by the log's retention; 0: all that ever stood on it is there. */
  start(): Promise<number>;
  /** Resolves when the log can append; rejects otherwise. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Partition of a key: FNV-1a over its UTF-8 bytes, modulo PARTITIONS. Part of the public contract of the log. */
export function partitionOf(key: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(key, "utf8")) {
    hash ^= byte;
    hash = Math.imul(hash, 0x01000193) >>> 0;
  }
  return hash % PARTITIONS;
}
