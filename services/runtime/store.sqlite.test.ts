import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { contractModels, type Thing, things } from "../../test/contract/store.models.ts";
import { connect } from "./store/connection.ts";
import { isStoreUnavailable } from "./store/failure.ts";
import { takeTurns } from "./store/turns.ts";
import { openSqliteStore, type SqliteStore } from "./store.sqlite.ts";

let folder: string;
let path: string;
const stores: SqliteStore[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-store-"));
  path = join(folder, "store.db");
});

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  rmSync(folder, { recursive: true });
});

function open(options: { secureDelete?: boolean; lockTimeoutMs?: number } = {}): SqliteStore {
  const store = openSqliteStore({ path, models: contractModels, ...options });
  stores.push(store);
  return store;
}

/** Commits in the write-ahead log: frames that carry the size of the database. https://www.sqlite.org/fileformat2.html#walformat */
function commits(): number {
  const wal = readFileSync(`${path}-wal`);
  let count = 0;
  for (let at = 32; at + 24 <= wal.length; at += 24 + 4_096) if (wal.readUInt32BE(at + 4) > 0) count += 1;
  return count;
}

describe("transactions", () => {
  it("commits writes that are asked for together at once, each with its own outcome", async () => {
    const docs = open().collection(things).of("w");
    const before = commits();
    const asked = Array.from({ length: 200 }, (_, n) => docs.insert({ id: `t${n % 150}`, kind: "cup" }));
    const refused = docs.insert({ id: "bad", kind: 1 } as unknown as Thing);
    const last = docs.update("t0", { inc: { size: 1 } });
    await expect(refused).rejects.toThrow("kind must be a string");
    const outcomes = await Promise.all(asked);
    expect(outcomes.filter(({ kind }) => kind === "applied")).toHaveLength(150);
    expect((await last)?.size).toBe(1);
    expect(commits() - before).toBe(1);
  });

  it("commits a batch with its watermark at once", async () => {
    const store = open();
    const docs = store.collection(things).of("w");
    const before = commits();
    await store.batch(async () => {
      for (let n = 0; n < 50; n++) await docs.insert({ id: `t${n}`, kind: "cup" });
      await store.advance("p", 0, 50);
    });
    expect(commits() - before).toBe(1);
  });

  it("undoes all of a batch that fails, the watermark too", async () => {
    const store = open();
    const docs = store.collection(things).of("w");
    await docs.insert({ id: "a", kind: "cup" });
    const failing = store.batch(async () => {
      await docs.update("a", { inc: { size: 5 } });
      await docs.delete("a");
      await store.advance("p", 0, 1);
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    expect(await docs.get("a")).toMatchObject({ size: 0, version: 1 });
    expect(await store.watermark("p")).toBe(0);
  });

  it("undoes a bulk that the model refuses and keeps the rest of the batch", async () => {
    const store = open();
    const docs = store.collection(things).of("w");
    await store.batch(async () => {
      await docs.insert({ id: "a", kind: "cup" });
      const bad = { id: "c", kind: 1 } as unknown as Thing;
      const bulk = docs.bulk([
        { kind: "insert", doc: { id: "b", kind: "cup" } },
        { kind: "insert", doc: bad },
      ]);
      await expect(bulk).rejects.toThrow("kind must be a string");
    });
    expect((await docs.find({})).map(({ id }) => id)).toEqual(["a"]);
  });

  it("shows others nothing of a batch until it is committed, and lets their writes wait for it", async () => {
    const store = open();
    const docs = store.collection(things).of("w");
    const order: string[] = [];
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const batch = store.batch(async () => {
      await docs.insert({ id: "a", kind: "cup" });
      begin();
      await held;
      order.push("batch");
    });
    await begun;
    const other = docs.update("a", { inc: { size: 1 } }).then((doc) => {
      order.push("other");
      return doc;
    });
    expect(await docs.get("a")).toBeUndefined();
    expect(await docs.count()).toBe(0);
    release();
    await batch;
    expect(await other).toMatchObject({ size: 1 });
    expect(order).toEqual(["batch", "other"]);
  });

  it("takes a write that outlives its batch as one of its own", async () => {
    const store = open();
    const docs = store.collection(things).of("w");
    let late: Promise<unknown> = Promise.resolve();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    await store.batch(async () => {
      late = ended.then(() => docs.insert({ id: "late", kind: "cup" }));
    });
    end();
    expect(await late).toEqual({ kind: "applied" });
    expect(await docs.count()).toBe(1);
  });

  it("answers what was asked before it closes, and nothing after", async () => {
    const store = open();
    const docs = store.collection(things).of("w");
    const asked = docs.insert({ id: "a", kind: "cup" });
    await store.close();
    expect(await asked).toEqual({ kind: "applied" });
    for (const late of [docs.insert({ id: "b", kind: "cup" }), docs.get("a"), docs.find({}), store.ping()])
      expect(isStoreUnavailable(await late.catch((error: unknown) => error))).toBe(true);
    await store.close();
  });
});

describe("a connection", () => {
  it("has each commit on the disk before it is confirmed", () => {
    const { db, close } = connect({ path, cacheKib: 1_024 });
    expect(db.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
    expect(db.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    close();
  });
});

describe("reading much", () => {
  it("lets others have their turns", async () => {
    const docs = open().collection(things).of("w");
    const all = Array.from({ length: 5_000 }, (_, n) => ({ id: `t${n}`, kind: "cup", at: n }));
    await docs.bulk(all.map((doc) => ({ kind: "insert", doc })));
    let turns = 0;
    let reading = true;
    const count = () => {
      turns += 1;
      if (reading) setImmediate(count);
    };
    setImmediate(count);
    expect(await docs.find({ where: { kind: "cup" }, sort: [["at", -1]] })).toHaveLength(5_000);
    reading = false;
    expect(turns).toBeGreaterThanOrEqual(9);
  });
});

describe("what is wrong with the file", () => {
  const opening = () => {
    try {
      open();
    } catch (error) {
      return error as Error;
    }
    throw new Error("it opened");
  };

  it("says so when the folder is missing", () => {
    path = join(folder, "none", "store.db");
    expect(isStoreUnavailable(opening())).toBe(true);
    expect(opening().message).toContain(`${path}: its file cannot be opened; check that the data folder exists`);
  });

  it("says so when it is a folder", () => {
    mkdirSync(path);
    expect(opening().message).toContain("cannot be opened");
  });

  it("says so when it is not a database", () => {
    writeFileSync(path, "this is not a database, ".repeat(300));
    expect(opening().message).toContain("is not a database; move it away");
  });

  it("says so when it is damaged", async () => {
    const docs = open().collection(things).of("w");
    await docs.bulk(Array.from({ length: 800 }, (_, n) => ({ kind: "insert", doc: { id: `t${n}`, kind: "cup" } })));
    await stores.pop()?.close();
    const bytes = readFileSync(path);
    bytes.fill(0xaa, 4_096);
    writeFileSync(path, bytes);
    expect(opening().message).toContain("is damaged; restore the data folder from a backup");
  });

  it("says so when another process holds the lock, and goes on when it is free", async () => {
    const docs = open({ lockTimeoutMs: 20 }).collection(things).of("w");
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const error = (await docs.insert({ id: "a", kind: "cup" }).catch((caught: unknown) => caught)) as Error;
    expect(isStoreUnavailable(error)).toBe(true);
    expect(error.message).toContain("stop the other process");
    other.exec("ROLLBACK");
    other.close();
    expect(await docs.insert({ id: "a", kind: "cup" })).toEqual({ kind: "applied" });
  });

  it("says so when the disk is full, undoes the batch though the failure was swallowed, and goes on when there is space", async () => {
    const connection = connect({ path, cacheKib: 1_024 });
    const { db } = connection;
    db.exec("CREATE TABLE t (x TEXT)");
    const turns = takeTurns(connection);
    const write = () => turns.write(() => db.exec("INSERT INTO t VALUES (zeroblob(20000))"));
    const rows = () => (db.prepare("SELECT count(*) AS n FROM t").get() as { n: number }).n;
    db.exec("PRAGMA max_page_count = 12");
    const batch = turns.batch(async () => {
      await write();
      await Promise.allSettled([write(), write()]);
    });
    const error = (await batch.catch((caught: unknown) => caught)) as Error;
    expect(isStoreUnavailable(error)).toBe(true);
    expect(error.message).toContain("the disk is full; free space");
    expect(rows()).toBe(0);
    db.exec("PRAGMA max_page_count = 1000");
    await Promise.all([write(), write()]);
    expect(rows()).toBe(2);
    await turns.close();
    connection.close();
  });
});

describe("deleting", () => {
  const marker = "a-name-that-must-be-forgotten";

  it("leaves nothing of a document in the file with secureDelete", async () => {
    const store = open({ secureDelete: true });
    const docs = store.collection(things).of("w");
    await docs.bulk(Array.from({ length: 50 }, (_, n) => ({ kind: "insert", doc: { id: `t${n}`, kind: "cup" } })));
    await docs.insert({ id: "a", kind: marker, note: marker });
    await store.close();
    expect(readFileSync(path).includes(marker)).toBe(true);
    const again = open({ secureDelete: true });
    await again.collection(things).of("w").delete("a");
    await again.close();
    expect(readFileSync(path).includes(marker)).toBe(false);
  });
});

describe("a process that is killed", () => {
  it("leaves the counters equal to the watermark, at or beyond what it had confirmed", async () => {
    const program = fileURLToPath(new URL("../../test/contract/store.counting.ts", import.meta.url));
    for (let round = 0; round < 5; round++) {
      const child = spawn(process.execPath, [program, path], { stdio: ["ignore", "pipe", "inherit"] });
      let told = "";
      child.stdout.on("data", (text: Buffer) => {
        told += text.toString();
      });
      await once(child.stdout, "data");
      await wait(20 + Math.random() * 250);
      child.kill("SIGKILL");
      await once(child, "close");
      const store = open();
      const counters = await store.collection(things).of("w").find({});
      const counted = counters.reduce((sum, { size = 0 }) => sum + size, 0);
      const confirmed = Number(told.trimEnd().split("\n").at(-1));
      expect(confirmed).toBeGreaterThan(0);
      expect(counted).toBe(await store.watermark("counting"));
      expect(counted).toBeGreaterThanOrEqual(confirmed);
      expect(Math.max(...counters.map(({ at = 0 }) => at))).toBe(counted);
      await stores.pop()?.close();
    }
  });
});
