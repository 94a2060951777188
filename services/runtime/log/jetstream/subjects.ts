import { type LogRecord, PARTITIONS, partitionOf, type ReadOptions, type Subject } from "../../log.ts";

/** Every subject of the stream: `<prefix>.<two words>.<partition>`. Gossip, one word shorter, is not among them. */
export function streamSubjects(prefix: string): string[] {
  return [`${prefix}.*.*.*`];
}

/** Where a record goes: waymark.touches.marketing.7 */
export function subjectOf(prefix: string, { subject, key }: Pick<LogRecord, "subject" | "key">): string {
  return `${prefix}.${subject}.${partitionOf(key)}`;
}

/** The payload as plain bytes: the client gives now these, now a Buffer. */
export function bytesOf(data: Uint8Array): Uint8Array {
  return data instanceof Buffer ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : data;
}

/** Subject and partition as the log knows them. */
export function placeOf(prefix: string, natsSubject: string): { subject: Subject; partition: number } {
  const end = natsSubject.lastIndexOf(".");
  const subject = natsSubject.slice(prefix.length + 1, end) as Subject;
  return { subject, partition: Number(natsSubject.slice(end + 1)) };
}

/** What a reading may meet. */
export interface Wanted {
  /** For the server; empty: everything. */
  filters: string[];
  /** True when the options leave nothing to read. */
  isNothing: boolean;
  /** For what was fetched without the filters. */
  includes: (place: { subject: Subject; partition: number }) => boolean;
}

/** The filters of a reading by subjects and partitions. */
export function wantedBy(
  prefix: string,
  { subjects, partitions }: Pick<ReadOptions, "subjects" | "partitions">,
): Wanted {
  const bySubject = subjects === undefined ? ["*.*"] : [...new Set(subjects)];
  const all = partitions === undefined || new Set(partitions).size === PARTITIONS;
  const byPartition = all ? ["*"] : [...new Set(partitions)].map(String);
  const isAll = subjects === undefined && all;
  return {
    filters: isAll ? [] : bySubject.flatMap((subject) => byPartition.map((part) => `${prefix}.${subject}.${part}`)),
    isNothing: bySubject.length === 0 || byPartition.length === 0,
    includes: ({ subject, partition }) =>
      (subjects?.includes(subject) ?? true) && (partitions?.includes(partition) ?? true),
  };
}
