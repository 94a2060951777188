import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { contractModels, type Thing, things } from "../../test/contract/store.models.ts";
import { type MongodbServer, mongodbMissing, startMongodb } from "../../test/support/mongodb-server.ts";
import { openLogger } from "./logger.ts";
import { isStoreUnavailable } from "./store/failure.ts";
import { openMongoStore } from "./store.mongo.ts";
import type { Store } from "./store.ts";

const missing = (await mongodbMissing()) || Boolean(process.env.WAYMARK_TEST_MONGODB_URL);

/** What a call may take while the server hangs, and what a store may take to be there again. */
const DEADLINE_MS = 12_000;

/** How often the server is killed. */
const KILLS = Number(process.env.WAYMARK_TEST_KILL_ROUNDS ?? 3);

/** A call's fate: undefined when it was confirmed, otherwise its error; "late" when it has none in time. */
async function fate(call: () => Promise<unknown>): Promise<unknown> {
  const limit = new AbortController();
  const settled = call().then(
    () => undefined,
    (error: unknown) => error,
  );
  const late = delay(DEADLINE_MS, "late", { signal: limit.signal }).catch(() => undefined);
  const first = await Promise.race([settled, late]);
  limit.abort();
  return first;
}

async function again(store: Store): Promise<void> {
  for (const until = Date.now() + DEADLINE_MS; ; ) {
    const error = await fate(() => store.ping());
    if (error === undefined) return;
    if (Date.now() > until) throw error;
  }
}

/** Writes until it is told to stop, and keeps what was confirmed. Each round inserts, counts and moves a watermark. */
function load(store: Store) {
  const docs = store.collection(things).of("w");
  const confirmed: string[] = [];
  const counts = { sent: 0, confirmed: 0 };
  const failures: unknown[] = [];
  const state = { stopped: false, watermark: 0 };
  const note = (error: unknown, done: () => void) => (error === undefined ? done() : failures.push(error));
  const insert = async () => {
    for (let n = 0; !state.stopped; n++) {
      const batch = Array.from({ length: 20 }, (_, k): Thing => ({ id: `t${n}-${k}`, kind: "cup" }));
      const writes = batch.map((doc) => ({ kind: "insert" as const, doc }));
      note(await fate(() => docs.bulk(writes)), () => confirmed.push(...batch.map(({ id }) => id)));
    }
  };
  const count = async () => {
    while (!state.stopped) {
      counts.sent += 2;
      const change = { inc: { size: 1 } };
      const writes = ["x", "y"].map((id) => ({ kind: "update" as const, id, change, upsert: { kind: "cup" } }));
      note(await fate(() => docs.bulk(writes)), () => {
        counts.confirmed += 2;
      });
    }
  };
  const move = async () => {
    while (!state.stopped) {
      const error = await fate(async () => {
        const from = await store.watermark("p");
        if (await store.advance("p", from, from + 1)) state.watermark = Math.max(state.watermark, from + 1);
      });
      if (error !== undefined) failures.push(error);
    }
  };
  const ended = Promise.all([insert(), count(), move()]);
  const stop = async () => {
    state.stopped = true;
    await ended;
  };
  return { docs, confirmed, counts, failures, state, stop };
}

describe.skipIf(missing)("a MongoDB server that fails", () => {
  let server: MongodbServer;
  let store: Store;
  let said = "";
  const open = async () => {
    server = await startMongodb();
    said = "";
    const log = openLogger("info", { write: (line) => (said += line) });
    store = await openMongoStore({ url: server.url(`faults-${randomUUID()}`), models: contractModels, log });
  };
  afterEach(async () => {
    await store?.close();
    await server?.stop();
  });

  it("loses nothing that was confirmed when it is killed under load, and does nothing twice", {
    timeout: 60_000 + KILLS * 30_000,
  }, async () => {
    await open();
    const { docs, confirmed, counts, failures, state, stop } = load(store);
    for (let kill = 1; kill <= KILLS; kill++) {
      const goal = confirmed.length + 2_000;
      await expect.poll(() => confirmed.length, { timeout: 30_000, interval: 20 }).toBeGreaterThan(goal);
      const before = failures.length;
      await server.kill("SIGKILL");
      await expect.poll(() => failures.length, { timeout: DEADLINE_MS, interval: 20 }).toBeGreaterThan(before);
      await server.restart();
      await again(store);
    }
    await stop();
    expect(failures.filter((error) => !isStoreUnavailable(error))).toEqual([]);
    const stored = await docs.getMany(confirmed);
    expect(confirmed.filter((id) => !stored.has(id))).toEqual([]);
    const counters = [...(await docs.getMany(["x", "y"])).values()];
    const counted = counters.reduce((sum, { size = 0 }) => sum + size, 0);
    expect(counted).toBeGreaterThanOrEqual(counts.confirmed);
    expect(counted).toBeLessThanOrEqual(counts.sent);
    for (const { size, version } of counters) expect(version).toBe(size);
    expect(await store.watermark("p")).toBeGreaterThanOrEqual(state.watermark);
  });

  it("that hangs makes each call fail in time, and is used again when it goes on", { timeout: 90_000 }, async () => {
    await open();
    const docs = store.collection(things).of("w");
    await docs.insert({ id: "a", kind: "cup" });
    await server.kill("SIGSTOP");
    const calls = [
      () => docs.get("a"),
      () => docs.find({ where: { kind: "cup" } }),
      () => docs.count(),
      () => docs.insert({ id: "b", kind: "cup" }),
      () => docs.update("a", { inc: { size: 1 } }),
      () => docs.bulk([{ kind: "update", id: "c", change: { inc: { size: 1 } }, upsert: { kind: "cup" } }]),
      () => docs.delete("none"),
      () => store.watermark("p"),
      () => store.advance("p", 0, 1),
      () => store.begin("q", 0, 1),
      () => store.ping(),
    ];
    for (let round = 0; round < 2; round++) {
      const fates = await Promise.all(calls.map(fate));
      expect(fates.map(isStoreUnavailable)).toEqual(calls.map(() => true));
    }
    await server.kill("SIGCONT");
    await again(store);
    expect((await docs.get("a"))?.kind).toBe("cup");
    expect((await docs.get("a"))?.size).toBeLessThanOrEqual(2);
    expect(said).toMatch(/the store does not answer.*the store answers again/s);
    expect(await docs.update("a", { set: { note: "again" } })).toMatchObject({ note: "again" });
  });

  it("makes calls beyond the pool wait, but not for long", { timeout: 60_000 }, async () => {
    server = await startMongodb();
    const url = server.url(`pool-${randomUUID()}`);
    store = await openMongoStore({ url, models: contractModels, maxPoolSize: 2 });
    const docs = store.collection(things).of("w");
    await docs.insert({ id: "a", kind: "cup" });
    await server.kill("SIGSTOP");
    const fates = await Promise.all(Array.from({ length: 200 }, () => fate(() => docs.get("a"))));
    expect(fates.every(isStoreUnavailable)).toBe(true);
    await server.kill("SIGCONT");
    await again(store);
    expect((await docs.get("a"))?.kind).toBe("cup");
  });

  it("refuses everything after it was closed", async () => {
    await open();
    await store.close();
    const error = await fate(() => store.collection(things).of("w").get("a"));
    expect(isStoreUnavailable(error)).toBe(true);
    expect((error as Error).message).toContain("closed");
  });
});
