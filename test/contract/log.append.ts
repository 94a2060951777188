import { expect, it } from "vitest";
import { reasonOf } from "#runtime/failure.ts";
import { type LogEntry, partitionOf } from "#runtime/log.ts";
import { type Access, readAll, record, textOf, textOfRecord } from "./log.records.ts";

// Public, as consumers outside compute it too. The first three are vectors of FNV-1a's authors, modulo 16.
const PARTITION_VECTORS: readonly (readonly [key: string, partition: number])[] = [
  ["", 5],
  ["a", 12],
  ["foobar", 8],
  ["code_01J8Z3K4M5N6P7Q8R9S0T1V2W3", 1],
  ["größe", 10],
];

/** What an append promises. */
export function appending({ log, reopen }: Access): void {
  it("starts empty, with head 0", async () => {
    expect(await log().head()).toBe(0);
    expect(await readAll(log())).toEqual([]);
    await log().ping();
    expect(await log().head()).toBe(0);
  });

  it("gives back what was appended, as it was", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const before = Date.now() - 1000;
    const position = await log().append([{ subject: "keys.changed", key: "key_7", payload: bytes }], "a");
    const [entry] = await readAll(log());
    expect(entry).toMatchObject({ position, subject: "keys.changed", partition: partitionOf("key_7") });
    expect(Buffer.from((entry as LogEntry).payload)).toEqual(Buffer.from(bytes));
    expect((entry as LogEntry).appendedAt).toBeGreaterThan(before);
    expect(position).toBeGreaterThan(0);
  });

  it("keeps an empty payload", async () => {
    await log().append([record("")], "a");
    expect((await readAll(log())).map(textOf)).toEqual([""]);
  });

  it("keeps what it resolved over a reopening, and goes on above it", async () => {
    const first = await log().append([record("one")], "a");
    await reopen();
    expect(await log().head()).toBe(first);
    expect(await log().append([record("two")], "b")).toBeGreaterThan(first);
    expect((await readAll(log())).map(textOf)).toEqual(["one", "two"]);
  });

  it("resolves with the position of the last record, which is the head", async () => {
    const position = await log().append([record("a"), record("b"), record("c", { key: "code_2" })], "a");
    expect((await readAll(log())).at(-1)?.position).toBe(position);
    expect(await log().head()).toBe(position);
  });

  it("leaves the payloads usable, also those that share a buffer", async () => {
    const whole = Buffer.from("onetwo");
    const records = [whole.subarray(0, 3), whole.subarray(3)].map((payload) => ({ ...record(""), payload }));
    await log().append(records, "a");
    await log().append(records, "b");
    expect((await readAll(log())).map(textOf)).toEqual(["one", "two", "one", "two"]);
  });

  it("starts at 0 while all that was appended is there", async () => {
    expect(await log().start()).toBe(0);
    await log().append([record("one"), record("two")], "a");
    expect(await log().start()).toBe(0);
  });

  it("appends nothing for no records", async () => {
    const head = await log().append([record("one")], "a");
    expect(await log().append([], "b")).toBe(head);
    expect(await readAll(log())).toHaveLength(1);
  });

  it("keeps the order of each key under many concurrent appends, losing and doubling nothing", async () => {
    const keys = Array.from({ length: 20 }, (_, index) => `code_${index}`);
    const appends = Array.from({ length: 400 }, (_, index) => {
      const pair = [keys[index % 20], keys[(index * 7) % 20]] as [string, string];
      return pair.map((key, place) => record(`${key}/${String(index * 2 + place).padStart(4, "0")}`, { key }));
    });
    const positions = await Promise.all(appends.map((records, index) => log().append(records, `batch_${index}`)));
    const entries = await readAll(log());
    expect(entries.map(textOf).toSorted()).toEqual(appends.flat().map(textOfRecord).toSorted());
    for (const key of keys) {
      const texts = entries.map(textOf).filter((text) => text.startsWith(`${key}/`));
      expect(texts).toEqual(texts.toSorted());
    }
    expect(new Set(positions).size).toBe(400);
    expect(Math.max(...positions)).toBe(await log().head());
  });

  it("puts a key into its public partition", async () => {
    for (const [key] of PARTITION_VECTORS) await log().append([record(key, { key })], `key ${key}`);
    const found = (await readAll(log())).map((entry) => [textOf(entry), entry.partition]);
    expect(found).toEqual(PARTITION_VECTORS);
  });

  it("refuses to append after the close", async () => {
    const closed = log();
    await reopen();
    await expect(closed.append([record("late")], "a")).rejects.toThrow("the log does not answer");
    expect(await readAll(log())).toEqual([]);
  });

  it("settles what is in flight before it closes", async () => {
    const pending = Array.from({ length: 50 }, (_, index) => log().append([record(`${index}`)], `b${index}`));
    await reopen();
    await Promise.all(pending);
    expect(await readAll(log())).toHaveLength(50);
  });
}

/** What a repeated batch id promises. */
export function repeating({ log, reopen }: Access): void {
  it("appends a batch once when it is repeated", async () => {
    const first = await log().append([record("one"), record("two")], "same");
    await log().append([record("between")], "other");
    expect(await log().append([record("one"), record("two")], "same")).toBe(first);
    expect(await readAll(log())).toHaveLength(3);
  });

  it("appends a batch once when it is repeated while in flight", async () => {
    const positions = await Promise.all(Array.from({ length: 10 }, () => log().append([record("one")], "same")));
    expect(new Set(positions).size).toBe(1);
    expect(await readAll(log())).toHaveLength(1);
  });

  it("appends a batch once when it is repeated after a reopening", async () => {
    const first = await log().append([record("one")], "same");
    await reopen();
    expect(await log().append([record("one")], "same")).toBe(first);
    expect(await readAll(log())).toHaveLength(1);
  });

  it("does not confuse a repeated batch with its neighbours in flight", async () => {
    await log().append([record("old one"), record("old two")], "old");
    await Promise.all([
      log().append([record("a")], "a"),
      log().append([record("old one"), record("old two")], "old"),
      log().append([record("b")], "b"),
    ]);
    const texts = (await readAll(log())).map(textOf);
    expect(texts.toSorted()).toEqual(["a", "b", "old one", "old two"]);
  });
}

/** What a full queue promises. */
export function shedding({ reopen }: Access): void {
  it("sheds with OVERLOADED when its queue is full, and what it shed is not there", async () => {
    const log = await reopen({ maxQueueBytes: 64 * 1024 });
    const filler = "x".repeat(8 * 1024);
    const texts = Array.from({ length: 60 }, (_, index) => `${index}/${filler}`);
    const outcomes = await Promise.allSettled(texts.map((text, index) => log.append([record(text)], `b${index}`)));
    const taken = texts.filter((_, index) => outcomes[index]?.status === "fulfilled");
    const refusals = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    expect(taken.length).toBeGreaterThan(0);
    expect(refusals.length).toBeGreaterThan(0);
    expect(new Set(refusals.map((error) => reasonOf(error)?.reason))).toEqual(new Set(["OVERLOADED"]));
    expect((await readAll(log)).map(textOf)).toEqual(taken);
    await log.append([record("after")], "after");
    expect(await readAll(log)).toHaveLength(taken.length + 1);
  });
}
