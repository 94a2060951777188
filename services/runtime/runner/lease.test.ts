import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TALLY_WORKSPACE, tallyModel, tallyProjection } from "../../../test/support/counted-words.ts";
import { unbatched } from "../../../test/support/faults.ts";
import { openSqliteLog } from "../log.sqlite.ts";
import type { Log } from "../log.ts";
import { type Runner, type RunnerOptions, runProjections } from "../runner.ts";
import { openSqliteStore } from "../store.sqlite.ts";
import type { Store } from "../store.ts";
import { type Alarm, LeaseLost } from "./fault.ts";
import { Lease } from "./lease.ts";
import { leases } from "./lease-model.ts";
import { runnerModels } from "./models.ts";
import { withCollections } from "./stores.ts";

/** Short ones, yet longer than a busy machine keeps the process waiting. */
const times = { beatMs: 10, holdMs: 500, patienceMs: 800 };
const LIMIT = { timeout: 10_000, interval: 5 };

let folder: string;
let store: Store;
let log: Log;
let alarms: Alarm[];
let closing: (() => Promise<void>)[];
beforeEach(async () => {
  store = unbatched(openSqliteStore({ path: ":memory:", models: [tallyModel, ...runnerModels] }));
  folder = mkdtempSync(join(tmpdir(), "waymark-lease-"));
  log = await openSqliteLog({ path: join(folder, "log.db") });
  alarms = [];
  closing = [];
});
afterEach(async () => {
  for (const close of closing) await close();
  await store.close();
  await log.close();
  rmSync(folder, { recursive: true });
});

let batches = 0;
function append(words: readonly string[]): Promise<number> {
  batches += 1;
  const records = words.map((word) => ({
    subject: "touches.marketing" as const,
    key: word,
    payload: Buffer.from(word),
  }));
  return log.append(records, `lease_${batches}`);
}

function run(holder: string, over: Partial<RunnerOptions> = {}): Runner {
  const onError = (alarm: Alarm) => void alarms.push(alarm);
  const options = { projections: [tallyProjection], store, log, now: () => 0, backoffMs: () => 1, onError };
  const runner = runProjections({ ...options, lease: { holder, times }, ...over });
  closing.push(runner.stop);
  return runner;
}

function open(holder: string, on: Store = store): Lease {
  const trouble = { for: () => {}, over: () => {} };
  const lease = new Lease({ projection: "tally", holder, store: on, trouble, times });
  closing.push(() => lease.stop());
  return lease;
}

/** A store whose writes fail while it is cut off; its process does not hear of it otherwise. */
function severable() {
  const line = { cut: false };
  const unlessCut = <R>(call: () => Promise<R>) =>
    line.cut ? Promise.reject(new ConnectError("the store is away", Code.Unavailable)) : call();
  const cut = withCollections(store, (collection) => ({
    ...collection,
    get: (id) => unlessCut(() => collection.get(id)),
    insert: (doc) => unlessCut(() => collection.insert(doc)),
    update: (id, change, guard) => unlessCut(() => collection.update(id, change, guard)),
  }));
  return { line, store: cut };
}

async function tallies(): Promise<Record<string, number>> {
  const docs = await store.collection(tallyModel).of(TALLY_WORKSPACE).find({});
  return Object.fromEntries(docs.map(({ id, count }) => [id, count]));
}

describe("the lease of a projection", () => {
  it("is held by one of many, and the others know how far it is and when all is done", async () => {
    await append(["ada", "bob", "ada"]);
    const runners = ["one", "two", "three"].map((holder) => run(holder));
    await Promise.all(runners.map((runner) => runner.idle()));
    expect(await tallies()).toEqual({ ada: 2, bob: 1 });
    const held = () => runners.map((runner) => runner.gauges()["held.tally"]);
    expect(held().filter((one) => one === 1)).toHaveLength(1);
    await append(["bob"]);
    await Promise.all(runners.map((runner) => runner.idle()));
    expect(await tallies()).toEqual({ ada: 2, bob: 2 });
    await expect.poll(() => runners.map((runner) => runner.gauges()["lag.tally"]), LIMIT).toEqual([0, 0, 0]);
    expect(alarms).toEqual([]);
  });

  it("is handed back at a graceful stop, before anyone's patience ends", async () => {
    const patient = { ...times, patienceMs: 60_000 };
    const first = run("one", { lease: { holder: "one", times: patient } });
    await expect.poll(() => first.gauges()["held.tally"], LIMIT).toBe(1);
    const second = run("two", { lease: { holder: "two", times: patient } });
    await first.stop();
    await expect.poll(() => second.gauges()["held.tally"], LIMIT).toBe(1);
    await append(["ada"]);
    await second.idle();
    expect(await tallies()).toEqual({ ada: 1 });
  });

  it("moves when the holder is silent, who then writes nothing more", async () => {
    const { line, store: severed } = severable();
    const first = open("one", severed);
    const term = await first.term(new AbortController().signal);
    line.cut = true;
    const second = open("two");
    await second.term(new AbortController().signal);
    expect(first.isHeld).toBe(false);
    await expect.poll(() => term?.aborted, LIMIT).toBe(true);
    expect(first.check).toThrow(LeaseLost);
    line.cut = false;
    await expect.poll(async () => (await leases(store).get("tally"))?.holder, LIMIT).toMatch(/^two/);
    expect(first.isHeld).toBe(false);
  });

  it("stays with a holder that beats, however long others wait", async () => {
    const first = open("one");
    await first.term(new AbortController().signal);
    const second = open("two");
    const beats = async () => (await leases(store).get("tally"))?.beat ?? 0;
    const until = (await beats()) + 120; // for longer than the patience of the other
    await expect.poll(beats, LIMIT).toBeGreaterThan(until);
    expect([first.isHeld, second.isHeld]).toEqual([true, false]);
  });

  it("is gone on with by its holder when the store comes back and nobody has taken over", async () => {
    const { line, store: severed } = severable();
    const first = open("one", severed);
    await first.term(new AbortController().signal);
    line.cut = true;
    await expect.poll(() => first.isHeld, LIMIT).toBe(false);
    line.cut = false;
    await expect.poll(() => first.isHeld, LIMIT).toBe(true);
  });

  it("stays with a holder whose beat was written though the answer was lost", async () => {
    let lost = 0;
    const lossy = withCollections(store, (collection) => ({
      ...collection,
      update: async (id, change, guard) => {
        const doc = await collection.update(id, change, guard);
        lost += 1;
        if (lost === 3) throw new ConnectError("no answer", Code.Unavailable);
        return doc;
      },
    }));
    const first = open("one", lossy);
    await expect.poll(() => lost > 6 && first.isHeld, LIMIT).toBe(true);
  });

  it("keeps a step from writing when it was lost meanwhile, and its next holder does that step", async () => {
    const { line, store: severed } = severable();
    const [begun, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await append(["ada"]);
    const project: (typeof tallyProjection)["project"] = async (entries, deps) => {
      begun.resolve();
      await open.promise;
      await tallyProjection.project(entries, deps);
    };
    const first = run("one", { store: severed, projections: [{ ...tallyProjection, project }] });
    await begun.promise;
    line.cut = true;
    await expect.poll(() => first.gauges()["held.tally"], LIMIT).toBe(0);
    open.resolve();
    const second = run("two");
    await second.idle();
    line.cut = false;
    await first.idle();
    expect(await tallies()).toEqual({ ada: 1 });
    expect(alarms.filter(({ kind }) => kind === "poison")).toEqual([]);
  });
});
