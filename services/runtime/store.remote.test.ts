import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { contractModels, type Thing, things } from "../../test/contract/store.models.ts";
import { reasonOf } from "./failure.ts";
import { isStoreUnavailable } from "./store/failure.ts";
import { openRemoteStore } from "./store/remote.ts";
import { serveStoreWrites } from "./store/serve.ts";
import { openSqliteStore } from "./store.sqlite.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-store-"));
  path = join(folder, "store.db");
});

afterEach(() => rmSync(folder, { recursive: true }));

const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

describe("a store that another thread writes", () => {
  async function openWithWorker() {
    const { port1: port, port2 } = new MessageChannel();
    const worker = new Worker(new URL("../../test/contract/store.worker.ts", import.meta.url), {
      workerData: { path, port: port2 },
      transferList: [port2],
    });
    await once(port, "message");
    return { worker, store: openRemoteStore({ path, models: contractModels, port }) };
  }

  it("reads its own writes, counts all of many, and keeps them", async () => {
    const { worker, store } = await openWithWorker();
    const docs = store.collection(things).of("w");
    expect(await docs.insert({ id: "a", kind: "cup" })).toEqual({ kind: "applied" });
    expect((await docs.get("a"))?.kind).toBe("cup");
    await Promise.all(Array.from({ length: 300 }, () => docs.update("a", { inc: { size: 1 } })));
    expect((await docs.get("a"))?.size).toBe(300);
    await store.ping();
    await store.close();
    await once(worker, "exit");
    const again = openSqliteStore({ path, models: contractModels });
    expect((await again.collection(things).of("w").get("a"))?.size).toBe(300);
    await again.close();
  });

  it("rejects what is outstanding, and all that comes, when that thread ends", async () => {
    const { worker, store } = await openWithWorker();
    const docs = store.collection(things).of("w");
    await docs.insert({ id: "a", kind: "cup" });
    const asked = Array.from({ length: 2_000 }, (_, n) => caught(docs.insert({ id: `t${n}`, kind: "cup" })));
    await worker.terminate();
    const answers = await Promise.all(asked);
    const failed = answers.filter((answer) => answer instanceof Error);
    expect(failed.every(isStoreUnavailable)).toBe(true);
    const late = await caught(docs.insert({ id: "late", kind: "cup" }));
    expect(isStoreUnavailable(late)).toBe(true);
    expect((late as Error).message).toContain("has ended; start the service again");
    await store.close();
    const again = openSqliteStore({ path, models: contractModels });
    const kept = await again.collection(things).of("w").count();
    expect(kept).toBeGreaterThanOrEqual(1 + answers.length - failed.length);
    await again.close();
  });
});

describe("the line to the writer", () => {
  let port: MessagePort;
  let far: MessagePort;

  beforeEach(() => {
    const channel = new MessageChannel();
    [port, far] = [channel.port1, channel.port2];
  });

  it("bounds what is outstanding and refuses more with OVERLOADED, until answers come", async () => {
    const writer = openSqliteStore({ path, models: contractModels });
    const store = openRemoteStore({ path, models: contractModels, port, maxOutstanding: 10 });
    const docs = store.collection(things).of("w");
    const insert = (id: string) => ({ kind: "insert", doc: { id, kind: "cup" } }) as const;
    const first = docs.bulk(["a", "b", "c", "d", "e", "f", "g", "h"].map(insert));
    const second = docs.bulk(["i", "j"].map(insert));
    expect(reasonOf(await caught(docs.insert({ id: "k", kind: "cup" })))?.reason).toBe("OVERLOADED");
    serveStoreWrites(writer, far);
    expect(await first).toHaveLength(8);
    expect(await second).toHaveLength(2);
    expect(await docs.insert({ id: "k", kind: "cup" })).toEqual({ kind: "applied" });
    expect(await docs.count()).toBe(11);
    await store.close();
    await writer.close();
  });

  it("carries refusals with their reason, and other errors with their sentence", async () => {
    const writer = openSqliteStore({ path, models: contractModels });
    serveStoreWrites(writer, far);
    const store = openRemoteStore({ path, models: contractModels, port });
    const docs = store.collection(things).of("w");
    expect(await caught(docs.insert({ id: "a" } as Thing))).toMatchObject({
      message: "contract.things: the field kind is required",
    });
    expect(await caught(docs.insert({ id: "a", kind: "cup", items: [() => 1] }))).toBeInstanceOf(Error);
    expect(await docs.insert({ id: "a", kind: "cup" })).toEqual({ kind: "applied" });
    await writer.close();
    const closed = await caught(docs.insert({ id: "b", kind: "cup" }));
    expect(reasonOf(closed)).toMatchObject({ reason: "STORE_UNAVAILABLE", domain: "store.waymark" });
    await store.close();
  });

  it("says that the store is unavailable when nobody has opened the file for writing", async () => {
    const store = openRemoteStore({ path, models: contractModels, port });
    expect(isStoreUnavailable(await caught(store.collection(things).of("w").get("a")))).toBe(true);
    await store.close();
  });
});
