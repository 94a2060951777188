import { describe, expect, it } from "vitest";
import type { LogEntry } from "../log.ts";
import { paceOf } from "./step.ts";

function entriesOf(count: number, sizeBytes: number): LogEntry[] {
  const payload = new Uint8Array(sizeBytes);
  return Array.from({ length: count }, (_, index) => ({
    position: index + 1,
    partition: 0,
    subject: "touches.marketing",
    payload,
    appendedAt: 0,
  }));
}

describe("the pace of a projection", () => {
  it.each([
    ["few small ones whole", entriesOf(10, 100), 10],
    ["no more than 512", entriesOf(600, 100), 512],
    ["large ones by bytes", entriesOf(10, 50_000), 2],
    ["one that is larger than all", entriesOf(3, 5_000_000), 1],
  ])("takes %s", (_case, entries, count) => {
    expect(paceOf({ atomic: true }).next(entries)).toBe(count);
  });

  it("keeps steps of some 2,000 touches where a step is no transaction, however fast the store is", () => {
    const pace = paceOf({ atomic: false });
    const entries = entriesOf(512, 5_000);
    for (let turn = 0; turn < 20; turn += 1) pace.took(entries, 1);
    expect(pace.next(entries)).toBe(104);
    for (let turn = 0; turn < 20; turn += 1) pace.took(entries.slice(0, 10), 1000);
    expect(pace.next(entries)).toBe(3);
  });

  it("takes more after fast steps and less after slow ones, within bounds", () => {
    const pace = paceOf({ atomic: true });
    const entries = entriesOf(64, 20_000);
    const before = pace.next(entries);
    pace.took(entries.slice(0, before), 5);
    const faster = pace.next(entries);
    expect(faster).toBeGreaterThan(before);
    for (let turn = 0; turn < 20; turn += 1) pace.took(entries.slice(0, 10), 500);
    expect(pace.next(entries)).toBe(1);
    for (let turn = 0; turn < 20; turn += 1) pace.took(entries, 1);
    expect(pace.next(entriesOf(64, 200_000))).toBe(20);
  });

  it("learns nothing for large steps from small ones", () => {
    const pace = paceOf({ atomic: true });
    const entries = entriesOf(64, 20_000);
    const before = pace.next(entries);
    for (let turn = 0; turn < 20; turn += 1) pace.took(entriesOf(1, 100), 1);
    expect(pace.next(entries)).toBe(before);
  });
});
