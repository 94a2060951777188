import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import { TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogRecord } from "#runtime/log.ts";
import { HOUR_MS } from "./scope.ts";

/** A record ends here, well below the megabyte that a message of JetStream may have. */
const RECORD_TOUCHES = 500;
const RECORD_BYTES = 512 * 1024;

/** A touch, encoded. */
export interface EncodedTouch {
  partition: number;
  /** The code, which is the key of its record. */
  codeId: string;
  bytes: Uint8Array;
}

/** Whose books something is in, and when it arrived. */
export interface Books {
  workspace: string;
  test: boolean;
  arrivedAt: number;
}

/** What of a request did not become touches. */
export interface Refused {
  /** By reason. */
  rejected?: Readonly<Record<string, number>>;
  shed?: number;
  duplicate?: number;
}

/** Numbers for the ledger by workspace and hour, until they stand on the log. */
export class Tallies {
  readonly #sums = new Map<string, Books & { rejected: Record<string, number>; shed: number; duplicate: number }>();

  get isEmpty(): boolean {
    return this.#sums.size === 0;
  }

  add({ workspace, test, arrivedAt }: Books, { rejected = {}, shed = 0, duplicate = 0 }: Refused): void {
    const hour = Math.floor(arrivedAt / HOUR_MS) * HOUR_MS;
    const key = `${workspace}/${test}/${hour}`;
    const sum = this.#sums.get(key) ?? { workspace, test, arrivedAt, rejected: {}, shed: 0, duplicate: 0 };
    this.#sums.set(key, sum);
    sum.shed += shed;
    sum.duplicate += duplicate;
    for (const reason in rejected) sum.rejected[reason] = (sum.rejected[reason] ?? 0) + (rejected[reason] ?? 0);
  }

  addAll(others: Tallies): void {
    for (const { workspace, test, arrivedAt, ...refused } of others.#sums.values())
      this.add({ workspace, test, arrivedAt }, refused);
  }

  /** One record a workspace and hour. */
  records(): LogRecord[] {
    return [...this.#sums.values()].map(({ workspace, arrivedAt, ...sum }) => {
      const message = create(TouchesRefusedSchema, {
        ...sum,
        workspaceId: workspace,
        arrivedAt: timestampFromMs(arrivedAt),
      });
      return { subject: "touches.refused", key: workspace, payload: toBinary(TouchesRefusedSchema, message) };
    });
  }
}

/** A record that is being filled. */
interface Filling {
  codeId: string;
  writer: BinaryWriter;
  touches: number;
  bytes: number;
}

/** What all records of one append say. */
export interface Stamp {
  recordedAt: number;
  traceparent: string;
}

/** Packs touches into records: those of one partition together, in their order, as a TouchBatch each. */
export function packTouches(touches: Iterable<EncodedTouch>, stamp: Stamp): LogRecord[] {
  const records: LogRecord[] = [];
  const filling = new Map<number, Filling>();
  const close = ({ codeId, writer }: Filling) =>
    records.push({ subject: "touches.recorded", key: codeId, payload: finish(writer, stamp) });
  for (const { partition, codeId, bytes } of touches) {
    let record = filling.get(partition);
    if (record !== undefined && isFull(record, bytes.length)) {
      close(record);
      record = undefined;
    }
    if (record === undefined) {
      record = { codeId, writer: new BinaryWriter(), touches: 0, bytes: 0 };
      filling.set(partition, record);
    }
    record.writer.tag(TouchBatchSchema.field.touches.number, WireType.LengthDelimited).bytes(bytes);
    record.touches += 1;
    record.bytes += bytes.length;
  }
  for (const record of filling.values()) close(record);
  return records;
}

function isFull({ touches, bytes }: Filling, more: number): boolean {
  return touches >= RECORD_TOUCHES || bytes + more > RECORD_BYTES;
}

function finish(writer: BinaryWriter, { recordedAt, traceparent }: Stamp): Uint8Array {
  const { recordedAt: at, traceparent: trace } = TouchBatchSchema.field;
  writer.tag(at.number, WireType.LengthDelimited).bytes(toBinary(TimestampSchema, timestampFromMs(recordedAt)));
  if (traceparent !== "") writer.tag(trace.number, WireType.LengthDelimited).string(traceparent);
  return writer.finish();
}
