import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import { type Touch, TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { type LogRecord, PARTITIONS } from "#runtime/log.ts";
import { subjectOf, type TouchPurpose } from "#runtime/touches.ts";
import { HOUR_MS } from "./scope.ts";

/** A record ends here, well below the megabyte that a message of JetStream may have even if all of its text is not Latin. */
const RECORD_TOUCHES = 500;
const RECORD_WEIGHT = 256 * 1024;

/** A touch on its way to the log. */
export interface Outgoing {
  touch: Touch;
  purpose: TouchPurpose;
  partition: number;
  /** About how many bytes it has. */
  weight: number;
  /** W3C traceparent of its request when that is traced. */
  traceparent?: string;
}

/** About how many bytes a touch has, without encoding it. */
export function weightOf({ userAgent, metadata }: Touch): number {
  return 400 + userAgent.length + (metadata === undefined ? 0 : JSON.stringify(metadata).length);
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
  purpose: TouchPurpose;
  touches: Touch[];
  weight: number;
  traceparent: string;
}

/**
 * Packs touches into records: those of one partition and purpose together, in their order, as a TouchBatch each. A record is
 * in the trace of its first touch.
 */
export function packTouches(outgoing: Iterable<Outgoing>, recordedAt: number): LogRecord[] {
  const records: LogRecord[] = [];
  const filling = new Map<number, Filling>();
  for (const { touch, purpose, partition, weight, traceparent = "" } of outgoing) {
    const shelf = purpose * PARTITIONS + partition;
    let record = filling.get(shelf);
    if (record !== undefined && (record.touches.length === RECORD_TOUCHES || record.weight + weight > RECORD_WEIGHT)) {
      records.push(recordOf(record, recordedAt));
      record = undefined;
    }
    if (record === undefined) {
      record = { purpose, touches: [], weight: 0, traceparent };
      filling.set(shelf, record);
    }
    record.touches.push(touch);
    record.weight += weight;
  }
  for (const record of filling.values()) records.push(recordOf(record, recordedAt));
  return records;
}

/** Encodes the touches of a record together: it costs half of one by one. */
function recordOf({ purpose, touches, traceparent }: Filling, recordedAt: number): LogRecord {
  const [first] = touches as [Touch];
  const batch = create(TouchBatchSchema, { recordedAt: timestampFromMs(recordedAt), traceparent });
  batch.touches = touches;
  return { subject: subjectOf[purpose], key: first.codeId, payload: toBinary(TouchBatchSchema, batch) };
}
