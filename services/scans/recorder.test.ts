import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import { Purpose, TouchBatchSchema, TouchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { fail } from "#runtime/failure.ts";
import { type LogRecord, partitionOf } from "#runtime/log.ts";
import { type Parcel, Recorder } from "./recorder.ts";
import { type Outgoing, weightOf } from "./records.ts";

const AT = Date.UTC(2026, 2, 20, 15, 30);

/** A log that keeps what it gets, and answers when it is told to. */
function scriptedLog() {
  const appends: { records: readonly LogRecord[]; settle: (error?: Error) => void }[] = [];
  let position = 0;
  return {
    appends,
    append: (records: readonly LogRecord[]) =>
      new Promise<number>((resolve, reject) => {
        position += records.length;
        const settle = (error?: Error) => (error === undefined ? resolve(position) : reject(error));
        appends.push({ records, settle });
      }),
  };
}

function touch(id: string, codeId = "qpr_1", over: object = {}): Outgoing {
  const message = create(TouchSchema, { id, codeId, purpose: Purpose.MARKETING, workspaceId: "w", ...over });
  return { touch: message, purpose: Purpose.MARKETING, partition: partitionOf(codeId), weight: weightOf(message) };
}

const books = { workspace: "w", test: false, arrivedAt: AT };
const parcel = (over: Partial<Parcel> = {}): Parcel => ({ books, touches: [], rejected: {}, duplicate: 0, ...over });
const turn = () => new Promise((resolve) => setImmediate(resolve));

function idsOf(records: readonly LogRecord[]): string[][] {
  const batches = records.filter(({ subject }) => subject === "touches.marketing");
  return batches.map(({ payload }) => fromBinary(TouchBatchSchema, payload).touches.map(({ id }) => id));
}

function refusedOf(records: readonly LogRecord[]) {
  const refused = records.filter(({ subject }) => subject === "touches.refused");
  return refused.map(({ payload }) => {
    const { rejected, shed, duplicate, workspaceId, test } = fromBinary(TouchesRefusedSchema, payload);
    return { rejected, shed, duplicate, workspaceId, test };
  });
}

function open(limits?: { touches: number; bytes: number }) {
  const log = scriptedLog();
  let ids = 0;
  const newId = (prefix: string) => {
    ids += 1;
    return `${prefix}_${ids}`;
  };
  return { log, recorder: new Recorder({ log, newId, limits }) };
}

describe("the recorder", () => {
  it("appends what comes in one turn together, a record for each partition, and acknowledges when it is durable", async () => {
    const { log, recorder } = open();
    const other = ["qpr_2", "qpr_3", "qpr_4"].find((id) => partitionOf(id) !== partitionOf("qpr_1")) as string;
    let acknowledged = 0;
    const put = (touches: Outgoing[]) => recorder.put(parcel({ touches })).then(() => (acknowledged += 1));
    const puts = [put([touch("a"), touch("b", other)]), put([touch("c")])];
    await turn();
    expect(log.appends).toHaveLength(1);
    expect(idsOf(log.appends[0]?.records ?? [])).toEqual([["a", "c"], ["b"]]);
    const [record] = log.appends[0]?.records ?? [];
    const { recordedAt } = fromBinary(TouchBatchSchema, record?.payload ?? new Uint8Array());
    expect(recordedAt && timestampMs(recordedAt)).toBe(AT);
    expect(acknowledged).toBe(0);
    log.appends[0]?.settle();
    await Promise.all(puts);
    expect(recorder.depth).toEqual({ touches: 0, bytes: 0 });
  });

  it("ends a record at 500 touches, and before it becomes too large for a message", async () => {
    const { log, recorder } = open();
    void recorder.put(parcel({ touches: Array.from({ length: 501 }, (_, n) => touch(`n${n}`)) }));
    const metadata = { text: "x".repeat(16_000) };
    void recorder.put(parcel({ touches: Array.from({ length: 40 }, (_, n) => touch(`m${n}`, "qpr_1", { metadata })) }));
    await turn();
    const records = log.appends[0]?.records ?? [];
    expect(idsOf(records).map((ids) => ids.length)).toEqual([500, 16, 15, 10]);
    for (const { payload } of records) expect(payload.length).toBeLessThan(1_000_000);
  });

  it("books what was refused and what was known already in the same append", async () => {
    const { log, recorder } = open();
    void recorder.put(parcel({ touches: [touch("a")], rejected: { CODE_NOT_FOUND: 2 }, duplicate: 3 }));
    void recorder.put(parcel({ rejected: { CODE_NOT_FOUND: 1, INVALID_FIELD: 1 } }));
    await turn();
    const records = log.appends[0]?.records ?? [];
    expect(idsOf(records)).toEqual([["a"]]);
    const rejected = { CODE_NOT_FOUND: 3, INVALID_FIELD: 1 };
    expect(refusedOf(records)).toEqual([{ rejected, shed: 0, duplicate: 3, workspaceId: "w", test: false }]);
  });

  it("records an id once, whatever requests of one turn it came with, and books the others as duplicates", async () => {
    const { log, recorder } = open();
    void recorder.put(parcel({ touches: [touch("a"), touch("b"), touch("a")] }));
    void recorder.put(parcel({ touches: [touch("b"), touch("c")] }));
    await turn();
    const records = log.appends[0]?.records ?? [];
    expect(idsOf(records)).toEqual([["a", "b", "c"]]);
    expect(refusedOf(records)).toMatchObject([{ duplicate: 2, shed: 0 }]);
  });

  it("sheds what finds no room, and books it with the next append", async () => {
    const { log, recorder } = open({ touches: 2, bytes: 1_000_000 });
    const first = recorder.put(parcel({ touches: [touch("a"), touch("b")] }));
    const shed = recorder.put(parcel({ touches: [touch("c")], rejected: { INVALID_FIELD: 1 } }));
    await expect(shed).rejects.toThrow("the intake queue is full");
    await turn();
    expect(refusedOf(log.appends[0]?.records ?? [])).toMatchObject([{ rejected: {}, shed: 2 }]);
    log.appends[0]?.settle();
    await first;
    expect(recorder.hasRoom(2)).toBe(true);
  });

  it("takes a request that is larger than the queue when nothing else waits", async () => {
    const { recorder } = open({ touches: 1, bytes: 1 });
    expect(recorder.hasRoom(1000)).toBe(true);
    void recorder.put(parcel({ touches: [touch("a"), touch("b")] }));
    expect(recorder.hasRoom(1)).toBe(false);
  });

  it("books what the log refused as shed, once the log takes something again", async () => {
    const { log, recorder } = open();
    const lost = recorder.put(parcel({ touches: [touch("a")], rejected: { INVALID_FIELD: 1 }, duplicate: 1 }));
    await turn();
    log.appends[0]?.settle(fail("OVERLOADED"));
    await expect(lost).rejects.toThrow("the intake queue is full");
    expect(recorder.depth).toEqual({ touches: 0, bytes: 0 });
    const flushed = recorder.flush();
    log.appends[1]?.settle();
    await flushed;
    expect(idsOf(log.appends[1]?.records ?? [])).toEqual([]);
    expect(refusedOf(log.appends[1]?.records ?? [])).toEqual([
      { rejected: {}, shed: 3, duplicate: 0, workspaceId: "w", test: false },
    ]);
  });

  it("appends nothing when nothing is owed", async () => {
    const { log, recorder } = open();
    await recorder.flush();
    expect(log.appends).toEqual([]);
  });
});
