import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { record } from "../../test/contract/log.records.ts";
import { models, TALLY_WORKSPACE, tallyModel } from "../../test/support/counted-words.ts";
import { openSqliteLog } from "./log.sqlite.ts";
import type { Log } from "./log.ts";
import { type Projector, type ProjectorAlarm, startProjector } from "./projector-thread.ts";
import { openRemoteStore } from "./store/remote.ts";
import type { Store } from "./store.ts";

const listing = new URL("../../test/support/counted-words.ts", import.meta.url);

let folder: string;
let log: Log;
let store: Store;
let projector: Projector;
let alarms: ProjectorAlarm[];

async function start(): Promise<void> {
  alarms = [];
  const storePath = join(folder, "store.db");
  projector = await startProjector({ storePath, logPath: join(folder, "log.db"), listing });
  projector.onAlarm((alarm) => alarms.push(alarm));
  store = openRemoteStore({ path: storePath, models, port: projector.writes });
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-projector-"));
  log = await openSqliteLog({ path: join(folder, "log.db") });
  await start();
});
afterEach(async () => {
  await store.close();
  await projector.stop();
  await log.close();
  rmSync(folder, { recursive: true });
});

function tallies() {
  return store.collection(tallyModel).of(TALLY_WORKSPACE);
}

describe("the projector thread", () => {
  it("projects what is appended here, for this thread to read", async () => {
    await log.append([record("ada"), record("bob"), record("ada")], "a");
    await projector.idle();
    expect(await tallies().get("ada")).toMatchObject({ count: 2 });
    expect(await projector.gauges()).toMatchObject({ "poison.tally": 0, "poison.deadly": 0 });
  });

  it("writes for this thread while it projects", async () => {
    const appended = Array.from({ length: 20 }, (_, index) => log.append([record("ada")], `${index}`));
    const written = Array.from({ length: 20 }, (_, index) =>
      tallies().insert({ id: `request${index}`, count: 0, position: 0 }),
    );
    await Promise.all([...appended, ...written]);
    await projector.idle();
    expect(await tallies().count()).toBe(21);
    expect(await tallies().get("ada")).toMatchObject({ count: 20 });
  });

  it("passes alarms on", async () => {
    await log.append([record("poison")], "a");
    await projector.idle();
    expect(alarms).toMatchObject([{ kind: "poison", projection: "tally", position: 1, error: "TypeError" }]);
    expect(await projector.gauges()).toMatchObject({ "poison.tally": 1 });
  });

  it("goes on after a stop and a start", async () => {
    await log.append([record("ada")], "a");
    await projector.idle();
    await store.close();
    await projector.stop();
    expect(alarms).toEqual([]);
    await log.append([record("ada")], "b");
    await start();
    await projector.idle();
    expect(await tallies().get("ada")).toMatchObject({ count: 2 });
  });

  it("rejects everything and says so when it breaks", async () => {
    const projection = Array.from({ length: 50 }, (_, index) => log.append([record("ada")], `${index}`));
    await Promise.all(projection);
    await log.append([record("key", { subject: "keys.changed" })], "deadly");
    await expect.poll(() => alarms, { timeout: 5000 }).toMatchObject([{ kind: "dead" }]);
    expect((alarms[0] as { error: Error }).error.message).toBe("the thread is broken");
    await expect(projector.idle()).rejects.toThrow("the thread is broken");
    await expect(projector.gauges()).rejects.toThrow("the thread is broken");
    await expect(tallies().insert({ id: "late", count: 0, position: 0 })).rejects.toThrow("has ended");
  });

  it("rejects what was asked before it broke", async () => {
    const pause = [record("poison"), record("key", { subject: "keys.changed" })]; // the first takes seconds
    await log.append(pause, "deadly");
    await expect(projector.idle()).rejects.toThrow("the thread is broken");
    expect(alarms).toMatchObject([{ kind: "dead" }]);
  });

  it("does not start without a log", async () => {
    const options = { storePath: join(folder, "other.db"), logPath: join(folder, "none.db"), listing };
    await expect(startProjector(options)).rejects.toThrow("unable to open database file");
  });

  it("does not start with a store that cannot be opened", async () => {
    const options = { storePath: folder, logPath: join(folder, "log.db"), listing };
    await expect(startProjector(options)).rejects.toThrow(folder);
  });
});
