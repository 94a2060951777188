import type { Subject } from "../log.ts";
import { type LogRecord, partitionOf } from "../log.ts";

/** One append on its way to the writer. Without records it only proves that the log can be written. */
export interface GroupAppend {
  batchId: string;
  records: { subject: Subject; partition: number; sizeBytes: number }[];
}

/** Appends that are made durable together. */
export interface Group {
  /** Milliseconds since 1970. */
  at: number;
  appends: GroupAppend[];
  /** All payloads, one after another. Its buffer is transferred. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** What the writer is told. */
export type Order = { kind: "append"; group: Group } | { kind: "close" };

/** What the writer answers: the last position of each append, or why none of the group was appended. */
export type Answer = { kind: "appended"; positions: number[] } | { kind: "refused"; why: string };

/** What a writer thread is started with. `role` keeps the module from acting when it is merely imported. */
export interface WriterData {
  role: "waymark-log-writer";
  path: string;
  maxBytes?: number;
}

/** The channel on which the writer of a log announces each new head to the readers of this process. */
export function channelOf(path: string): string {
  return `waymark-log:${path}`;
}

/**
 * Packs appends into one message. Payloads are copied once, so that the caller's stay usable (for a retry, or because
 * several share a buffer), and cross to the writer without another copy.
 */
export function pack(appends: readonly { batchId: string; records: readonly LogRecord[] }[], at: number): Group {
  let total = 0;
  for (const { records } of appends) for (const { payload } of records) total += payload.byteLength;
  const bytes = new Uint8Array(total);
  let end = 0;
  const packed = appends.map(({ batchId, records }) => ({
    batchId,
    records: records.map(({ subject, key, payload }) => {
      bytes.set(payload, end);
      end += payload.byteLength;
      return { subject, partition: partitionOf(key), sizeBytes: payload.byteLength };
    }),
  }));
  return { at, appends: packed, bytes };
}
