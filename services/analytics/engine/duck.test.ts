import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Code, type ConnectError } from "@connectrpc/connect";
import { VARCHAR } from "@duckdb/node-api";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { reasonOf } from "#runtime/failure.ts";
import { type Duck, type DuckOptions, openDuck } from "./duck.ts";

const SLOW = "SELECT count(*) AS n FROM range(100000000) a, range(100000) b WHERE a.range % 7 = b.range";

let folder: string;
let duck: Duck | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-duck-"));
});
afterEach(async () => {
  await duck?.close();
  duck = undefined;
  rmSync(folder, { recursive: true });
});

const path = () => join(folder, "t.duckdb");

const versioned = (word: string) => [
  "CREATE TABLE version (fingerprint VARCHAR)",
  `INSERT INTO version VALUES ('${word}')`,
];

async function open(given: Partial<DuckOptions> = {}): Promise<Duck> {
  const schema = ["CREATE TABLE t (word VARCHAR)", ...versioned("one")];
  duck = await openDuck({ path: path(), memoryMb: 256, schema, fingerprint: "one", ...given });
  return duck;
}

const reasonFor = (call: Promise<unknown>) =>
  call.then(
    () => "answered",
    (error: unknown) => reasonOf(error)?.reason ?? String(error),
  );

async function put(words: readonly string[]): Promise<void> {
  const slice = (begin: number, end: number) => [words.slice(begin, end)];
  await duck?.write(({ append }) => append("t", { types: [VARCHAR], length: words.length, slice }));
}

const count = async (): Promise<unknown> => (await duck?.rows("SELECT count(*) AS n FROM t"))?.[0]?.n;

describe("a query", () => {
  it("that takes too long ends in time, and its connection goes on", async () => {
    const { rows } = await open({ queryTimeoutMs: 150 });
    const begun = performance.now();
    expect(await Promise.all([1, 2].map(() => reasonFor(rows(SLOW))))).toEqual(["QUERY_TIMEOUT", "QUERY_TIMEOUT"]);
    expect(performance.now() - begun).toBeLessThan(2_000);
    for (let turn = 0; turn < 4; turn += 1) expect(await rows("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("ends when its caller goes away, running or waiting, with the caller's reason", async () => {
    const { rows } = await open();
    const [running, waiting] = [new AbortController(), new AbortController()];
    const calls = [
      rows(SLOW, {}, running.signal),
      rows(SLOW, {}, running.signal),
      rows("SELECT 1", {}, waiting.signal),
    ];
    const ends = Promise.allSettled(calls);
    await delay(50);
    waiting.abort(new Error("no longer wanted"));
    expect(await reasonFor(calls[2] as Promise<unknown>)).toContain("no longer wanted");
    running.abort(new Error("gone"));
    expect((await ends).map((end) => end.status === "rejected" && String(end.reason))).toEqual([
      "Error: gone",
      "Error: gone",
      "Error: no longer wanted",
    ]);
    expect(await rows("SELECT 1 AS one")).toEqual([{ one: 1 }]);
    expect(await reasonFor(rows("SELECT 1", {}, AbortSignal.abort(new Error("before"))))).toContain("before");
  });

  it("is refused when 64 wait, and only then", async () => {
    const { rows } = await open();
    const stop = new AbortController();
    const held = [1, 2].map(() => reasonFor(rows(SLOW, {}, stop.signal)));
    const waiting = Array.from({ length: 64 }, () => reasonFor(rows("SELECT 1")));
    expect(await reasonFor(rows("SELECT 1"))).toBe("BUSY");
    stop.abort(new Error("enough"));
    expect(await Promise.all(held)).toEqual(["Error: enough", "Error: enough"]);
    expect(await Promise.all(waiting)).toEqual(Array(64).fill("answered"));
    expect(await reasonFor(rows("SELECT 1"))).toBe("answered");
  });

  it("that needs too much memory is refused with a word, and the next one is answered", async () => {
    const { rows } = await open({ memoryMb: 40 });
    const sql = "SELECT list(md5(i::VARCHAR)) AS all FROM range(3000000) t(i)";
    const error = (await rows(sql).catch((cause: unknown) => cause)) as ConnectError;
    expect([reasonOf(error)?.reason, error.code]).toEqual(["QUERY_TOO_LARGE", Code.FailedPrecondition]);
    expect(await rows("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("spills beside the file what does not fit in memory", async () => {
    const { rows } = await open({ memoryMb: 60 });
    const sql =
      "SELECT count(*) AS n FROM (SELECT i, md5(i::VARCHAR) AS w FROM range(2000000) t(i) ORDER BY w OFFSET 1)";
    expect(await rows(sql)).toEqual([{ n: 1_999_999n }]);
  });

  it("binds its values: texts, truths, whole numbers as BIGINT, lists of texts", async () => {
    const { rows } = await open();
    const sql =
      "SELECT $a AS a, $b AS b, $c AS c, typeof($c) AS kind, len($d) AS d, list_contains($d, $a) AS e, len($f) AS f";
    const a = "'; DROP TABLE t; --\u0000é";
    const params = { a, b: true, c: -(2n ** 62n), d: ["x", a], f: [] };
    expect(await rows(sql, params)).toEqual([{ a, b: true, c: -(2n ** 62n), kind: "BIGINT", d: 2n, e: true, f: 0n }]);
  });
});

describe("a write", () => {
  it("is all or nothing, also when a row cannot be taken, and leaves nothing for later", async () => {
    await open();
    await put(["a", "b"]);
    const words = Array.from({ length: 3_000 }, (_, n) => (n === 2_500 ? (7 as never) : `w${n}`));
    await expect(put(words)).rejects.toThrow();
    await expect(
      duck?.write(async ({ run }) => {
        await run("INSERT INTO t VALUES ('x')");
        throw new Error("changed my mind");
      }),
    ).rejects.toThrow("changed my mind");
    expect(await count()).toBe(2n);
    await put(Array.from({ length: 5_000 }, (_, n) => `v${n}`));
    await duck?.close();
    await open();
    expect(await count()).toBe(5_002n);
  });

  it("waits for the one before it, and is not spoiled by its end", async () => {
    const { write } = await open();
    const first = write(async ({ run }) => {
      await run("INSERT INTO t VALUES ('first')");
      await delay(30);
      throw new Error("changed my mind");
    });
    const second = write(({ run }) => run("INSERT INTO t VALUES ('second')"));
    await expect(first).rejects.toThrow("changed my mind");
    await second;
    expect(await duck?.rows("SELECT word FROM t")).toEqual([{ word: "second" }]);
  });

  it("keeps the write-ahead file small, however many there are", async () => {
    await open();
    const words = Array.from({ length: 20_000 }, (_, n) => `${n}`.padStart(200, "x"));
    let most = 0;
    for (let turn = 0; turn < 12; turn += 1) {
      await put(words);
      const wal = `${path()}.wal`;
      most = Math.max(most, existsSync(wal) ? statSync(wal).size : 0);
    }
    expect(most).toBeLessThan(40 * 1024 * 1024);
  });
});

describe("closing", () => {
  it("calls off what runs and what waits, and closes the file", async () => {
    const { rows, close } = await open();
    const calls = Array.from({ length: 5 }, () => reasonFor(rows(SLOW)));
    await delay(30);
    await close();
    expect(await Promise.all(calls)).toEqual(Array(5).fill("NOT_READY"));
    expect(await reasonFor(rows("SELECT 1"))).toBe("NOT_READY");
    expect(readdirSync(folder)).toEqual(["t.duckdb"]);
  });
});

function poke(at: number): void {
  const file = openSync(path(), "r+");
  writeSync(file, Buffer.alloc(64, 0xab), 0, 64, at);
  closeSync(file);
}

describe("a file that cannot be used", () => {
  beforeEach(async () => {
    await open();
    await put(Array.from({ length: 50_000 }, (_, n) => `word ${n} ${Math.sin(n)}`));
    await duck?.close();
  });

  it.each<[string, () => void]>([
    ["has lost its head", () => poke(0)],
    ["has bad headers", () => [4_096, 8_192].forEach(poke)],
    ["is cut", () => truncateSync(path(), Math.floor(statSync(path()).size / 2))],
    ["is empty", () => truncateSync(path(), 0)],
    ["is something else", () => writeFileSync(path(), "not a database ".repeat(1_000))],
    [
      "is not there, though its write-ahead file is",
      () => {
        writeFileSync(`${path()}.wal`, "left over");
        rmSync(path());
      },
    ],
    ["has a write-ahead file of another", () => writeFileSync(`${path()}.wal`, Buffer.alloc(5_000, 7))],
  ])("because it %s is opened without an error", async (_name, damage) => {
    damage();
    await open();
    expect([0n, 50_000n]).toContain(await count());
    await put(["new"]);
    await duck?.close();
    await open();
    expect((await duck?.rows("SELECT word FROM t WHERE word = 'new'"))?.length).toBe(1);
  });

  it("because another version made it is made anew", async () => {
    await open({ schema: ["CREATE TABLE t (word VARCHAR, more BIGINT)", ...versioned("two")], fingerprint: "two" });
    expect(await count()).toBe(0n);
  });

  it("because another process holds it stays as it is, and the reason is told", async () => {
    const script = `const { DuckDBInstance } = await import("@duckdb/node-api");
      globalThis.held = await DuckDBInstance.create(${JSON.stringify(path())});
      console.log("held"); setInterval(() => {}, 1000);`;
    const other = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await once(other.stdout, "data");
      await expect(open()).rejects.toThrow(/lock/);
    } finally {
      other.kill("SIGKILL");
      await once(other, "exit");
    }
    await open();
    expect(await count()).toBe(50_000n);
  });

  it("because its middle is damaged tells so once, is made anew, and goes on", async () => {
    poke(Math.floor(statSync(path()).size / 2));
    const { rows, fault, heal } = await open();
    const failing = fault();
    expect(failing.aborted).toBe(false);
    expect(await reasonFor(rows("SELECT max(word) FROM t"))).toBe("NOT_READY");
    expect(failing.aborted).toBe(true);
    expect(await reasonFor(rows("SELECT 1"))).toBe("NOT_READY");
    await heal();
    expect(fault().aborted).toBe(false);
    expect(await count()).toBe(0n);
    await heal();
    await put(["new"]);
    expect(await count()).toBe(1n);
  });
});
