import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAll, record, textOf } from "../../../test/contract/log.records.ts";
import { reasonOf } from "../failure.ts";
import { openSqliteLogReader, startWriter } from "../log.sqlite.ts";
import { AppendQueue, type QueueOptions } from "./queue.ts";

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), "waymark-queue-")), "log.db");
});
afterEach(() => rmSync(join(path, ".."), { recursive: true }));

function openQueue(over: Partial<QueueOptions>): AppendQueue {
  return new AppendQueue({
    startWriter: () => startWriter({ role: "waymark-log-writer", path }),
    positionOf: () => undefined,
    now: Date.now,
    maxQueueBytes: 1_000_000,
    maxQueueAppends: 100,
    ...over,
  });
}

/** A writer that ends as soon as it is asked for anything. */
function dyingWriter(): Worker {
  return new Worker("require('node:worker_threads').parentPort.once('message', () => process.exit())", { eval: true });
}

async function textsOnLog(): Promise<string[]> {
  const reader = openSqliteLogReader({ path });
  const entries = await readAll(reader);
  await reader.close();
  return entries.map(textOf);
}

describe("the queue before a log's writer", () => {
  it("loses and doubles nothing while its writers die again and again", async () => {
    const writers: Worker[] = [];
    const queue = openQueue({
      startWriter: () => {
        const writer = startWriter({ role: "waymark-log-writer", path });
        writers.push(writer);
        return writer;
      },
    });
    await queue.append([record("first")], "first");
    for (let round = 0; round < 5; round += 1) {
      const appends = Array.from({ length: 20 }, (_, index) => `${round}/${index}`);
      const done = Promise.all(appends.map((text) => queue.append([record(text)], text)));
      await new Promise((resolve) => setImmediate(resolve)); // the group is on its way
      if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve)); // and may be written, or not
      await writers.at(-1)?.terminate();
      await done;
    }
    await queue.close();
    expect(writers.length).toBe(6);
    const texts = await textsOnLog();
    expect(texts.length).toBe(101);
    expect(new Set(texts).size).toBe(101);
  });

  it("refuses when two writers die over a group, and tries again with the next append", async () => {
    let dead = 0;
    const queue = openQueue({
      startWriter: () => {
        dead += 1;
        return dead <= 2 ? dyingWriter() : startWriter({ role: "waymark-log-writer", path });
      },
    });
    const refusal = await queue.append([record("lost")], "lost").catch((error: unknown) => error);
    expect(reasonOf(refusal)?.reason).toBe("LOG_UNAVAILABLE");
    await queue.append([record("kept")], "kept");
    await queue.close();
    expect(await textsOnLog()).toEqual(["kept"]);
  });

  it("resolves what a dead writer had made durable", async () => {
    const queue = openQueue({
      startWriter: dyingWriter,
      positionOf: (batchId) => (batchId === "durable" ? 42 : undefined),
    });
    const outcomes = await Promise.allSettled([
      queue.append([record("one")], "durable"),
      queue.append([record("two")], "lost"),
    ]);
    expect(outcomes[0]).toEqual({ status: "fulfilled", value: 42 });
    expect(outcomes[1].status).toBe("rejected");
    await queue.close();
  });

  it("sheds by count as well as by bytes, and takes one that is larger than the queue when nothing waits", async () => {
    const queue = openQueue({ maxQueueBytes: 1000, maxQueueAppends: 2 });
    await queue.append([record("x".repeat(5000))], "large");
    const appends = ["a", "b", "c"].map((text) => queue.append([record(text)], text));
    const outcomes = await Promise.allSettled(appends);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    await queue.close();
  });
});
