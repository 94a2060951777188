import type { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { record } from "../../../test/contract/log.records.ts";
import { pack } from "./group.ts";
import { openForWriting } from "./schema.ts";
import { groupWriter } from "./writer.ts";

let db: DatabaseSync;
beforeEach(() => {
  db = openForWriting(":memory:");
});
afterEach(() => db.close());

function countOf(table: "entries" | "batches"): number {
  return (db.prepare(`SELECT count(*) AS count FROM ${table}`).get() as { count: number }).count;
}

describe("writing a group", () => {
  it("leaves nothing of a group of which one append cannot be written, and goes on with the next", () => {
    const write = groupWriter(db);
    const good = { batchId: "good", records: [record("one")] };
    const bad = { batchId: "bad", records: [record("two"), record("three", { subject: undefined as never })] };
    expect(() => write(pack([good, bad], 1))).toThrow();
    expect([countOf("entries"), countOf("batches")]).toEqual([0, 0]);
    expect(write(pack([good], 1))).toEqual([1]);
  });

  it("gives each append its last position, known batches their old one", () => {
    const write = groupWriter(db);
    const appends = ["a", "b"].map((batchId) => ({ batchId, records: [record(batchId), record(batchId)] }));
    expect(write(pack(appends, 1))).toEqual([2, 4]);
    expect(write(pack([{ batchId: "c", records: [record("c")] }, ...appends], 2))).toEqual([5, 2, 4]);
  });

  it("forgets old batches a few at a time, and no young one", () => {
    const write = groupWriter(db);
    const batch = (batchId: string, minute: number) =>
      write(pack([{ batchId, records: [record(batchId)] }], minute * 60_000));
    for (let index = 0; index < 100; index += 1) batch(`old ${index}`, 0);
    batch("young", 10);
    for (let index = 0; index < 60; index += 1) batch(`new ${index}`, 15);
    expect(countOf("batches")).toBe(61);
    expect(batch("young", 15)).toEqual([101]);
  });
});
