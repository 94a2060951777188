import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { DuckDBInstance } from "@duckdb/node-api";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { reasonOf } from "#runtime/failure.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import { counted, type Event, type Written } from "../test-answers.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround, recordOf, until } from "../test-ground.ts";
import { entriesOf, history, touchOf } from "../test-history.ts";

const DAY = 86_400_000;

/** DuckDB's file: three headers, then blocks, each with its checksum. */
const HEADERS_BYTES = 12_288;
const BLOCK_BYTES = 262_144;

/** Some thousands of entries of a few touches each, with everything that can repeat in them. */
async function writeHistory(folder: string): Promise<Written> {
  const log = await openSqliteLog({ path: join(folder, "log.db") });
  const workspaces = Array.from({ length: 60 }, (_, n) => `w${n}`);
  const steps = fc.sample(history(workspaces), { numRuns: 400, seed: 42 }).flat();
  const written = steps.flatMap(entriesOf).map((touches, n) => ({ touches, recordedAt: NOW + n }));
  for (let first = 0; first < written.length; first += 500) {
    const some = written.slice(first, first + 500);
    await log.append(
      some.map(({ touches, recordedAt }) => recordOf(touches, recordedAt)),
      `history.${first}`,
    );
  }
  await log.close();
  return written;
}

/** All rows of the table, in order, as text. */
async function rowsIn(folder: string): Promise<string[]> {
  const instance = await DuckDBInstance.create(join(folder, "analytics.duckdb"), { access_mode: "READ_ONLY" });
  const connection = await instance.connect();
  const read = await connection.runAndReadAll(
    "SELECT workspace, id, scanned_at, recorded_at, link_id, device_id, human, test, city FROM events",
  );
  connection.closeSync();
  instance.closeSync();
  return read
    .getRows()
    .map((row) => row.join("|"))
    .toSorted();
}

function rowsOf(events: readonly Event[]): string[] {
  return events
    .map(({ touch, recordedAt }) => {
      const { workspaceId, id, codeId, deviceId, verdict, test, place, scannedAt } = touch;
      const at = scannedAt && timestampMs(scannedAt);
      const named = [codeId, deviceId || null, verdict === 1, test, place?.city || null];
      return [workspaceId, id, at, recordedAt, ...named].join("|");
    })
    .toSorted();
}

let folder: string;
let wanted: string[];
let entries: number;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-rebuild-"));
  const written = await writeHistory(folder);
  entries = written.length;
  wanted = rowsOf(counted(written));
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = () => join(folder, "analytics.duckdb");

function poke(at: number): void {
  const opened = openSync(file(), "r+");
  writeSync(opened, Buffer.alloc(64, 0xab), 0, 64, at);
  closeSync(opened);
}

/** Feeds to the end and closes. */
async function feedOut(): Promise<void> {
  const ground = await openAnalyticsGround({ folder });
  await ground.settle();
  await ground.close();
}

/** Feeds in another process, and kills that when it says that it has come as far as `position`. */
async function feedUntilKilled(position: number): Promise<void> {
  const script = new URL("./feed-until-killed.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, folder], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (Number(text.trim().split("\n").at(-1)) >= position) child.kill("SIGKILL");
  });
  await exit;
}

describe("a feed that is killed", () => {
  it("again and again at any moment ends with each touch once", async () => {
    const sizes: number[] = [];
    for (const part of [0, 0.05, 0.2, 0.4, 0.6, 0.8]) {
      await feedUntilKilled(entries * (part + Math.random() / 10));
      sizes.push((await rowsIn(folder)).length);
    }
    expect(sizes, "it goes on where it was").toEqual(sizes.toSorted((a, b) => a - b));
    expect(sizes.some((size) => size > 0 && size < wanted.length)).toBe(true);
    await feedOut();
    expect(await rowsIn(folder)).toEqual(wanted);
  }, 60_000);
});

/** Everything that the table answers for one workspace. */
async function answersOf(ground: AnalyticsGround, workspace: string): Promise<string> {
  const key = ground.by({ workspace });
  const series = { startDate: timestampFromMs(NOW - 60 * DAY), endDate: timestampFromMs(NOW) };
  const answers = await Promise.all([
    ground.api.listEvents({ pageSize: 1_000, include: ["device", "visitor"] }, key),
    ground.api.listVisitors({ include: ["devices", "events", "links"] }, key),
    ground.api.getEventMetrics({}, key),
    ground.api.queryTimeSeries(series, key),
  ]);
  return JSON.stringify(answers, (_name, value) => (typeof value === "bigint" ? String(value) : value));
}

describe("the table", () => {
  let before: string;
  beforeAll(async () => {
    await feedOut();
    const ground = await openAnalyticsGround({ folder });
    before = await answersOf(ground, "w7");
    await ground.close();
  });

  it.each<[string, () => void]>([
    ["is gone", () => rmSync(file())],
    ["has a damaged head", () => poke(0)],
    ["is cut in the middle", () => truncateSync(file(), Math.floor(statSync(file()).size / 2))],
    ["opens and is damaged further on", () => poke(HEADERS_BYTES + BLOCK_BYTES + 5_000)],
    ["is something else", () => writeFileSync(file(), "not a database")],
  ])("that %s is made again from the log, and answers the same", async (_name, damage) => {
    damage();
    await expect(rowsIn(folder)).rejects.toThrow();
    const ground = await openAnalyticsGround({ folder });
    try {
      await until(async () => {
        const answers = await answersOf(ground, "w7").catch((error) => reasonOf(error)?.reason);
        if (answers !== "NOT_READY") expect(answers).toBe(before); // never half of it
        return answers === before;
      });
      await ground.settle();
    } finally {
      await ground.close();
    }
    expect(await rowsIn(folder)).toEqual(wanted);
  });

  it("that is made again and killed in between answers only when it is complete", async () => {
    rmSync(file());
    await feedUntilKilled(entries / 3);
    expect((await rowsIn(folder)).length).toBeLessThan(wanted.length);
    const ground = await openAnalyticsGround({ folder });
    expect(await answersOf(ground, "w7")).toBe(before);
    await ground.close();
  });

  it("that is complete answers at once, though the registry does not", async () => {
    await feedOut();
    const ground = await openAnalyticsGround({ folder });
    ground.registry.isDown = true;
    await ground.append([touchOf({ workspaceId: "w7", id: "later" })]);
    expect(await answersOf(ground, "w7")).toBe(before);
    ground.registry.isDown = false;
    await ground.settle();
    expect(await answersOf(ground, "w7")).not.toBe(before);
    await ground.close();
  });
});
