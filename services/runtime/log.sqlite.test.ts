import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAll, record, textOf } from "../../test/contract/log.records.ts";
import { logContract } from "../../test/contract/log.ts";
import { reasonOf } from "./failure.ts";
import { openSqliteLog, openSqliteLogReader } from "./log.sqlite.ts";

logContract("SQLite", async () => {
  const folder = mkdtempSync(join(tmpdir(), "waymark-log-"));
  return {
    open: (limits) => openSqliteLog({ path: join(folder, "log.db"), ...limits }),
    discard: async () => rmSync(folder, { recursive: true }),
  };
});

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-log-"));
  path = join(folder, "deeper", "log.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("a log in a SQLite file", () => {
  it("makes the folder that it lies in", async () => {
    const log = await openSqliteLog({ path });
    await log.append([record("one")], "a");
    await log.close();
  });

  it("says why it cannot be opened", async () => {
    await expect(openSqliteLog({ path: folder })).rejects.toThrow("unable to open database file");
  });

  it("stamps records by the clock it was given", async () => {
    const log = await openSqliteLog({ path, now: () => 1_700_000_000_123 });
    await log.append([record("one")], "a");
    expect((await readAll(log)).map(({ appendedAt }) => appendedAt)).toEqual([1_700_000_000_123]);
    await log.close();
  });

  it("starts where older entries were removed", async () => {
    const log = await openSqliteLog({ path });
    for (const word of ["one", "two"]) await log.append([record(word)], word);
    const db = new DatabaseSync(path);
    db.exec("DELETE FROM entries WHERE position < 2");
    db.close();
    expect(await log.start()).toBe(1);
    expect((await readAll(log)).map(textOf)).toEqual(["two"]);
    await log.close();
  });

  it("forgets a batch id after some minutes, not before", async () => {
    let time = 1_700_000_000_000;
    const log = await openSqliteLog({ path, now: () => time });
    const first = await log.append([record("one")], "a");
    time += 5 * 60_000;
    await log.append([record("two")], "b");
    expect(await log.append([record("one")], "a")).toBe(first);
    time += 6 * 60_000;
    await log.append([record("three")], "c");
    expect(await log.append([record("one")], "a")).toBeGreaterThan(first);
    expect(await log.append([record("two")], "b")).toBe(first + 1);
    await log.close();
  });

  it("refuses what does not fit, leaves nothing of it, and takes what fits", async () => {
    const log = await openSqliteLog({ path, maxBytes: 256 * 1024 });
    const parts = [record("head of the large one"), record("x".repeat(300 * 1024))];
    const refusal = await log.append(parts, "large").catch((error: unknown) => error);
    expect(reasonOf(refusal)).toMatchObject({ reason: "LOG_UNAVAILABLE", metadata: { why: "the disk is full" } });
    expect(await readAll(log)).toEqual([]);
    await log.append([record("small")], "small");
    expect((await readAll(log)).map(textOf)).toEqual(["small"]);
    await log.close();
  });

  it("is read by other readers of its file, who hear of new entries", async () => {
    const log = await openSqliteLog({ path });
    const reader = openSqliteLogReader({ path });
    const stop = new AbortController();
    const reading = (async () => {
      for await (const chunk of reader.read({ after: 0, follow: stop.signal })) return chunk.map(textOf);
    })();
    await log.append([record("one")], "a");
    expect(await reading).toEqual(["one"]);
    expect(await reader.head()).toBe(await log.head());
    await reader.close();
    await log.close();
  });

  it("cuts chunks by bytes, so that a reading never holds up its thread", async () => {
    const log = await openSqliteLog({ path });
    for (let index = 0; index < 5; index += 1) await log.append([record("x".repeat(2_000_000))], `${index}`);
    const chunks = await Array.fromAsync(log.read({ after: 0 }));
    expect(chunks.map(({ length }) => length)).toEqual([3, 2]);
    await log.close();
  });
});

/** Runs a process that appends, kills it some time after it began, and gives the ids that it says are on the log. */
async function appendUntilKilled(prefix: string): Promise<string[]> {
  const script = new URL("../../test/support/append-until-killed.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, path, prefix], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  const output = createInterface({ input: child.stdout });
  output.on("line", (line) => {
    if (lines.push(line) === 1) setTimeout(() => child.kill("SIGKILL"), randomInt(30, 400));
  });
  await Promise.all([once(child, "exit"), once(output, "close")]);
  return lines.filter((line) => line.startsWith(prefix) && /[ab]$/.test(line));
}

describe("a log whose process is killed", () => {
  it("holds every acknowledged record exactly once, and no half batch", async () => {
    const acknowledged: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      const ids = await appendUntilKilled(`round${round}`);
      expect(ids.length).toBeGreaterThan(0);
      acknowledged.push(...ids);
    }
    const log = await openSqliteLog({ path });
    const found = (await readAll(log)).map(textOf);
    await log.close();
    const all = new Set(found);
    expect(found.length).toBe(all.size);
    expect(acknowledged.filter((id) => !all.has(id))).toEqual([]);
    expect(found.filter((id) => !all.has(id.replace(/[ab]$/, (part) => (part === "a" ? "b" : "a"))))).toEqual([]);
  });
});
