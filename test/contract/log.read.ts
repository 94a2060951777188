import { expect, it } from "vitest";
import { type LogEntry, partitionOf } from "#runtime/log.ts";
import { type Access, follow, readAll, record, textOf, textOfRecord } from "./log.records.ts";

/** What a reading promises. */
export function reading({ log }: Access): void {
  it("reads from the middle, in ascending order", async () => {
    await log().append(
      Array.from({ length: 30 }, (_, index) => record(`${index}`)),
      "a",
    );
    const entries = await readAll(log());
    const middle = entries[9] as LogEntry;
    const rest = await readAll(log(), { after: middle.position });
    expect(rest).toEqual(entries.slice(10));
    const positions = entries.map(({ position }) => position);
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
    expect(new Set(positions).size).toBe(30);
  });

  it("reads nothing above the head", async () => {
    const head = await log().append([record("one")], "a");
    expect(await readAll(log(), { after: head })).toEqual([]);
    expect(await readAll(log(), { after: head + 1000 })).toEqual([]);
  });

  it("gives chunks no longer than asked and none empty", async () => {
    await log().append(
      Array.from({ length: 10 }, (_, index) => record(`${index}`)),
      "a",
    );
    const chunks = await Array.fromAsync(log().read({ after: 0, chunk: 4 }));
    expect(chunks.flat()).toHaveLength(10);
    expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThanOrEqual(4);
    expect(Math.min(...chunks.map(({ length }) => length))).toBeGreaterThan(0);
  });

  it("reads the subjects asked for, together in order", async () => {
    const subjects = [
      "touches.marketing",
      "codes.changed",
      "touches.marketing",
      "keys.changed",
      "codes.changed",
    ] as const;
    for (const [index, subject] of subjects.entries())
      await log().append([record(`${index}`, { subject })], `${index}`);
    expect((await readAll(log(), { subjects: ["codes.changed"] })).map(textOf)).toEqual(["1", "4"]);
    const two = await readAll(log(), { subjects: ["codes.changed", "touches.marketing"], chunk: 2 });
    expect(two.map(textOf)).toEqual(["0", "1", "2", "4"]);
    expect(await readAll(log(), { subjects: ["workspaces.changed"] })).toEqual([]);
    expect(await readAll(log(), { subjects: [] })).toEqual([]);
  });

  it("ends at the head when what is last was not asked for, near the head and far from it", async () => {
    const mixed = Array.from({ length: 90 }, (_, index) =>
      record(`${index}`, { key: `code_${index}`, subject: index % 30 === 0 ? "keys.changed" : "codes.changed" }),
    );
    await log().append(mixed, "a");
    expect((await readAll(log(), { subjects: ["keys.changed"], chunk: 2 })).map(textOf)).toEqual(["0", "30", "60"]);
    expect(await readAll(log(), { subjects: ["tags.deleted"] })).toEqual([]);
    const [, , last] = await readAll(log(), { subjects: ["keys.changed"] });
    expect(await readAll(log(), { after: (last as LogEntry).position, subjects: ["keys.changed"] })).toEqual([]);
  });

  it("reads a log of many chunks once through, from its beginning and from any place", async () => {
    for (let part = 0; part < 3; part += 1) {
      const records = Array.from({ length: 400 }, (_, index) => record(`${part * 400 + index}`, { key: `${index}` }));
      await log().append(records, `${part}`);
    }
    const entries = await readAll(log());
    expect(entries.map(textOf)).toEqual(Array.from({ length: 1200 }, (_, index) => `${index}`));
    for (const place of [0, 600, 1134, 1136, 1199]) {
      const { position } = entries[place] as LogEntry;
      expect(await readAll(log(), { after: position, chunk: 100 })).toEqual(entries.slice(place + 1));
    }
  });

  it("reads the partitions asked for, alone and with subjects", async () => {
    const records = Array.from({ length: 64 }, (_, index) =>
      record(`${index}`, { key: `code_${index}`, subject: index % 2 ? "codes.changed" : "touches.marketing" }),
    );
    await log().append(records, "a");
    const partitions = [partitionOf("code_1"), partitionOf("code_2")];
    const expected = records.filter(({ key }) => partitions.includes(partitionOf(key)));
    expect((await readAll(log(), { partitions })).map(textOf).toSorted()).toEqual(
      expected.map(textOfRecord).toSorted(),
    );
    const both = await readAll(log(), { partitions, subjects: ["codes.changed"], chunk: 3 });
    const changed = expected.filter(({ subject }) => subject === "codes.changed");
    expect(both.map(textOf).toSorted()).toEqual(changed.map(textOfRecord).toSorted());
    expect(await readAll(log(), { partitions: [] })).toEqual([]);
  });
}

/** What a following promises. */
export function following({ log, reopen }: Access): void {
  it("follows from what is there to what comes, without a gap", async () => {
    await log().append([record("0")], "0");
    const followed = follow(log(), 40);
    for (let index = 1; index < 40; index += 1) await log().append([record(`${index}`)], `${index}`);
    expect((await followed).map(textOf)).toEqual(Array.from({ length: 40 }, (_, index) => `${index}`));
  });

  it("wakes a follower promptly", async () => {
    const arrivals: number[] = [];
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _ of log().read({ after: 0, follow: stop.signal })) arrivals.push(performance.now());
    })();
    for (let index = 0; index < 5; index += 1) {
      await log().append([record(`${index}`)], `${index}`);
      const appended = performance.now();
      await expect.poll(() => arrivals.length, { interval: 1, timeout: 5000 }).toBeGreaterThan(index);
      expect((arrivals.at(-1) as number) - appended).toBeLessThan(800);
    }
    stop.abort();
    await reading;
  });

  it("wakes a follower of one subject only for that subject", async () => {
    const followed = follow(log(), 2, { subjects: ["keys.changed"] });
    await log().append([record("touch")], "a");
    await log().append([record("key 1", { subject: "keys.changed" })], "b");
    await log().append([record("touch")], "c");
    await log().append([record("key 2", { subject: "keys.changed" })], "d");
    expect((await followed).map(textOf)).toEqual(["key 1", "key 2"]);
  });

  it("ends a following without an error when it is aborted, also before it began", async () => {
    const stop = new AbortController();
    const reading = Array.fromAsync(log().read({ after: 0, follow: stop.signal }));
    await log().append([record("one")], "a");
    stop.abort();
    expect((await reading).flat().length).toBeLessThanOrEqual(1);
    expect(await Array.fromAsync(log().read({ after: 0, follow: AbortSignal.abort() }))).toEqual([]);
  });

  it("serves several followers, each from its own position", async () => {
    const first = await log().append([record("one")], "a");
    const followers = [follow(log(), 3), follow(log(), 2, { after: first }), follow(log(), 3)];
    await log().append([record("two"), record("three")], "b");
    const texts = (await Promise.all(followers)).map((entries) => entries.map(textOf));
    expect(texts).toEqual([
      ["one", "two", "three"],
      ["two", "three"],
      ["one", "two", "three"],
    ]);
  });

  it("refuses to read after the close", async () => {
    const closed = log();
    await reopen();
    await expect(readAll(closed)).rejects.toThrow("the log does not answer");
  });

  it("ends what follows when it closes", async () => {
    const reading = Array.fromAsync(log().read({ after: 0, follow: new AbortController().signal }));
    await reopen();
    expect(await reading).toEqual([]);
  });
}
