import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { record, textOf } from "../../test/contract/log.records.ts";
import { TALLY_WORKSPACE, tallyModel, tallyProjection } from "../../test/support/counted-words.ts";
import { unbatched } from "../../test/support/faults.ts";
import { openSqliteLog } from "./log.sqlite.ts";
import type { Log, LogEntry } from "./log.ts";
import type { Alarm } from "./runner/fault.ts";
import { poisonModel, poisons } from "./runner/poison.ts";
import { type Runner, type RunnerOptions, runProjections } from "./runner.ts";
import type { Projection } from "./service.ts";
import { openSqliteStore } from "./store.sqlite.ts";
import type { Store } from "./store.ts";

let folder: string;
let log: Log;
let store: Store;
let alarms: Alarm[];
let running: Runner[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-runner-"));
  log = await openSqliteLog({ path: join(folder, "log.db") });
  store = openSqliteStore({ path: join(folder, "store.db"), models: [tallyModel, poisonModel] });
  alarms = [];
  running = [];
});
afterEach(async () => {
  for (const runner of running) await runner.stop();
  await store.close();
  await log.close();
  rmSync(folder, { recursive: true });
});

function run(projections: readonly Projection[] = [tallyProjection], over: Partial<RunnerOptions> = {}): Runner {
  const onError = (alarm: Alarm) => void alarms.push(alarm);
  const runner = runProjections({ projections, store, log, now: () => 1000, onError, backoffMs: () => 1, ...over });
  running.push(runner);
  return runner;
}

let batches = 0;
function append(words: readonly string[], subject: LogEntry["subject"] = "touches.marketing"): Promise<number> {
  batches += 1;
  return log.append(
    words.map((word) => record(word, { subject })),
    `batch_${batches}`,
  );
}

async function tallies(): Promise<Record<string, number>> {
  const docs = await store.collection(tallyModel).of(TALLY_WORKSPACE).find({});
  return Object.fromEntries(docs.map(({ id, count }) => [id, count]));
}

/** A tally that also does something before each step. */
function tallyAfter(before: (entries: readonly LogEntry[]) => void | Promise<void>, name = "tally"): Projection {
  return {
    ...tallyProjection,
    name,
    project: async (entries, deps) => {
      await before(entries);
      await tallyProjection.project(entries, deps);
    },
  };
}

describe("running projections", () => {
  it("builds from what is on the log and from what comes", async () => {
    await append(["ada", "bob", "ada"]);
    const runner = run();
    await runner.idle();
    expect(await tallies()).toEqual({ ada: 2, bob: 1 });
    await append(["bob"]);
    await runner.idle();
    expect(await tallies()).toEqual({ ada: 2, bob: 2 });
  });

  it("goes on from its watermark after a restart", async () => {
    const seen: string[] = [];
    const projection = tallyAfter((entries) => void seen.push(...entries.map(textOf)));
    await append(["ada"]);
    const first = run([projection]);
    await first.idle();
    await first.stop();
    await append(["bob"]);
    await run([projection]).idle();
    expect(seen).toEqual(["ada", "bob"]);
    expect(await tallies()).toEqual({ ada: 1, bob: 1 });
  });

  it.each([
    ["one transaction", () => store],
    ["not", () => unbatched(store)],
  ])("takes many entries a step where it is %s", async (_case, storeOf) => {
    const lengths: number[] = [];
    await append(["ada", "bob", "cyd"]);
    await run([tallyAfter((entries) => void lengths.push(entries.length))], { store: storeOf() }).idle();
    expect(Math.max(...lengths)).toBe(3);
    expect(await tallies()).toEqual({ ada: 1, bob: 1, cyd: 1 });
  });

  it("is done when only entries of other subjects follow, and its lag is 0 then", async () => {
    const last = await append(["ada"]);
    await append(["key", "key"], "keys.changed");
    const lags: number[] = [];
    const runner = run(undefined, { onLag: ({ entries }) => void lags.push(entries) });
    await runner.idle();
    expect(await store.watermark("tally")).toBe(last);
    await expect.poll(() => lags, { timeout: 5000 }).toContain(0);
    expect(runner.gauges()).toEqual({ "lag.tally": 0, "poison.tally": 0 });
  });

  it("is idle when all is done that was there at the call, whatever comes after", async () => {
    const gates = { ada: Promise.withResolvers<void>(), later: Promise.withResolvers<void>() };
    const begun = Promise.withResolvers<void>();
    await append(["ada"]);
    const projection = tallyAfter((entries) => {
      begun.resolve();
      return gates[entries.map(textOf)[0] as keyof typeof gates].promise;
    });
    const runner = run([projection]);
    await begun.promise;
    const idle = runner.idle();
    await append(["later"]);
    gates.ada.resolve();
    await idle;
    expect(await tallies()).toEqual({ ada: 1 });
    gates.later.resolve();
  });

  it("says how far it is behind", async () => {
    await append(["ada", "bob"]);
    const open = Promise.withResolvers<void>();
    const runner = run([tallyAfter(() => open.promise)]);
    await expect.poll(() => runner.gauges()["lag.tally"], { timeout: 5000 }).toBe(2);
    open.resolve();
    await runner.idle();
    await expect.poll(() => runner.gauges()["lag.tally"], { timeout: 5000 }).toBe(0);
  });

  it("lets requests write between two steps", async () => {
    await append(Array.from({ length: 640 }, (_, index) => `word${index}`));
    const runner = run();
    await expect.poll(() => store.watermark("tally"), { interval: 0 }).toBeGreaterThan(0);
    await store.collection(tallyModel).of("requests").insert({ id: "request", count: 0, position: 0 });
    expect(await store.watermark("tally")).toBeLessThan(await log.head());
    await runner.idle();
    expect(Object.keys(await tallies())).toHaveLength(640);
  });

  it("lets a request's write wait for one step alone, however many projections have one to do", async () => {
    const order: string[] = [];
    const [begun, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await append(["ada"]);
    const projections = ["one", "two", "three"].map((name) =>
      tallyAfter(async () => {
        order.push("step");
        begun.resolve();
        await open.promise;
      }, name),
    );
    const runner = run(projections);
    await begun.promise;
    const write = store.collection(tallyModel).of("requests").insert({ id: "request", count: 0, position: 0 });
    const written = write.then(() => order.push("request"));
    open.resolve();
    await Promise.all([runner.idle(), written]);
    expect(order).toEqual(["step", "request", "step", "step"]);
  });

  it("runs several projections, of which a failing one does not hold up the others", async () => {
    const broken: Projection = {
      ...tallyProjection,
      name: "broken",
      project: async () => {
        throw new ConnectError("down", Code.Unavailable);
      },
    };
    const others = ["one", "two"].map((name) => tallyAfter(() => {}, name));
    await append(["ada"]);
    run([broken, ...others]);
    for (const { name } of others) await expect.poll(() => store.watermark(name)).toBe(1);
    expect(await store.watermark("broken")).toBe(0);
  });

  it("finishes the step at hand when it is stopped, and whoever waits for idle hears of it", async () => {
    await append(["ada"]);
    const [begun, open] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const runner = run([
      tallyAfter(() => {
        begun.resolve();
        return open.promise;
      }),
    ]);
    await begun.promise;
    const stopping = runner.stop();
    open.resolve();
    await stopping;
    expect(await tallies()).toEqual({ ada: 1 });
    await append(["bob"]);
    await expect(runner.idle()).rejects.toThrow("the projection tally was stopped");
  });
});

describe("a projection that fails", () => {
  it("sets aside the entry to blame, says so without its text, and goes on", async () => {
    await append(["ada", "poison of ada@example.org", "bob"]);
    await append(["ada"]);
    const runner = run();
    await runner.idle();
    expect(await tallies()).toEqual({ ada: 2, bob: 1 });
    const expected = { projection: "tally", position: 2, subject: "touches.marketing", error: "TypeError" };
    expect(alarms).toEqual([{ kind: "poison", ...expected, where: expect.stringContaining("counted-words.ts:") }]);
    expect(await poisons(store).get("tally/2")).toMatchObject({ ...expected, at: 1000 });
    expect(JSON.stringify([alarms, await poisons(store).find({})])).not.toContain("ada@");
    expect(runner.gauges()["poison.tally"]).toBe(1);
  });

  it("sets aside where a step is no transaction too, counting nothing twice", async () => {
    await append(["ada", "poison", "ada"]);
    await run(undefined, { store: unbatched(store) }).idle();
    expect(await tallies()).toEqual({ ada: 2 });
    expect(await poisons(store).count()).toBe(1);
  });

  it("remembers what it set aside over a restart", async () => {
    await append(["poison"]);
    const first = run();
    await first.idle();
    await first.stop();
    const second = run();
    await second.idle();
    expect(second.gauges()["poison.tally"]).toBe(1);
    expect(alarms).toHaveLength(1);
  });

  it("repeats a step that fails for a while, and sets nothing aside", async () => {
    let failures = 3;
    await append(["ada", "bob"]);
    const projection = tallyAfter(() => {
      failures -= 1;
      if (failures >= 0) throw new Error("not yet");
    });
    await run([projection]).idle();
    expect(await tallies()).toEqual({ ada: 1, bob: 1 });
    expect(alarms).toEqual([]);
  });

  it("waits for a store that does not answer as long as it takes, says so once, and sets nothing aside", async () => {
    let failures = 20;
    await append(["ada", "bob"]);
    const projection = tallyAfter(() => {
      failures -= 1;
      if (failures >= 0) throw new ConnectError("the store is away", Code.Unavailable);
    });
    await run([projection]).idle();
    expect(await tallies()).toEqual({ ada: 1, bob: 1 });
    expect(alarms).toMatchObject([{ kind: "waiting", projection: "tally" }]);
    expect(await poisons(store).count()).toBe(0);
  });

  it("takes over from where another holder moved the watermark to", async () => {
    const seen: string[] = [];
    await append(["ada", "bob"]);
    const projection = tallyAfter((entries) => void seen.push(...entries.map(textOf)));
    const runner = run([projection]);
    await runner.idle();
    const skipped = await store.advance("tally", 2, 3);
    expect(skipped).toBe(true);
    await append(["cyd", "dan"]);
    await runner.idle();
    expect(await tallies()).toEqual({ ada: 1, bob: 1, dan: 1 });
    expect(alarms).toMatchObject([{ kind: "waiting", projection: "tally", error: "WatermarkMoved" }]);
  });

  it("refuses to start on a store that cannot hold what it sets aside", async () => {
    const bare = openSqliteStore({ path: join(folder, "bare.db"), models: [tallyModel] });
    expect(() => run(undefined, { store: bare })).toThrow("runtime.poison");
    await bare.close();
  });
});
