import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TALLY_WORKSPACE, tallyModel, tallyProjection } from "../../../test/support/counted-words.ts";
import { dying, listLog, stoppingAt, unbatched, wordEntries } from "../../../test/support/faults.ts";
import { type Runner, type RunnerOptions, runProjections } from "../runner.ts";
import type { Projection } from "../service.ts";
import { openSqliteStore } from "../store.sqlite.ts";
import type { Store } from "../store.ts";
import type { Alarm } from "./fault.ts";
import { poisonModel, poisons } from "./poison.ts";

let store: Store;
let alarms: Alarm[];
let running: Runner[];
beforeEach(() => {
  store = unbatched(openSqliteStore({ path: ":memory:", models: [tallyModel, poisonModel] }));
  alarms = [];
  running = [];
});
afterEach(async () => {
  for (const runner of running) await runner.stop();
  await store.close();
});

function run(words: readonly string[], over: Partial<RunnerOptions> = {}): Runner {
  const options = { projections: [tallyProjection], store, log: listLog(wordEntries(words)), now: () => 1000, ...over };
  const runner = runProjections({ ...options, backoffMs: () => 1, onError: (alarm) => void alarms.push(alarm) });
  running.push(runner);
  return runner;
}

async function tallies(): Promise<Record<string, number>> {
  const docs = await store.collection(tallyModel).of(TALLY_WORKSPACE).find({});
  return Object.fromEntries(docs.map(({ id, count }) => [id, count]));
}

/** The tally, whose steps are told. */
function told(steps: number[][], over: Partial<Projection> = {}): Projection {
  const { project } = { ...tallyProjection, ...over };
  return {
    ...tallyProjection,
    project: async (entries, deps) => {
      steps.push(entries.map(({ position }) => position));
      await project(entries, deps);
    },
  };
}

/** Waits until a runner has met the death of its process. */
async function dead(runner: Runner): Promise<void> {
  await expect.poll(() => alarms, { timeout: 5000 }).toMatchObject([{ kind: "waiting" }]);
  await runner.stop();
}

describe("a step without transactions", () => {
  it("is repeated as it was begun after a crash, whatever has come since", async () => {
    await dead(run(["ada", "bob"], { store: dying(store, 2) }));
    expect(await store.progress("tally")).toEqual({ done: 0, begun: 20 });
    const steps: number[][] = [];
    await run(["ada", "bob", "ada"], { projections: [told(steps)] }).idle();
    expect(steps).toEqual([[10, 20], [30]]);
    expect(await tallies()).toEqual({ ada: 2, bob: 1 });
  });

  it("waits for a log that does not show all of a step that another process began", async () => {
    await store.begin("tally", 0, 30);
    const steps: number[][] = [];
    const behind = run(["ada", "bob"], { projections: [told(steps)] });
    await expect.poll(() => alarms).toMatchObject([{ kind: "waiting", error: "WatermarkMoved" }]);
    await behind.stop();
    expect(steps).toEqual([]);
    await run(["ada", "bob", "cyd"], { projections: [told(steps)] }).idle();
    expect(steps).toEqual([[10, 20, 30]]);
  });

  it("does nothing by whoever was stopped in the middle of it and goes on when later ones are done", async () => {
    const { store: stopping, stopped, wake } = stoppingAt(store, 4);
    const zombie = run(["ada", "bob"], { store: stopping });
    await stopped;
    await run(["ada", "bob", "ada", "bob"]).idle();
    await wake();
    await zombie.idle();
    expect(await tallies()).toEqual({ ada: 2, bob: 2 });
    expect(await store.progress("tally")).toEqual({ done: 40, begun: 40 });
  });

  it("goes on without entries that cannot be decoded or that the model refuses", async () => {
    const refused: Projection["project"] = async (entries, { store: on }) => {
      await tallyProjection.project(entries, { store: on, now: () => 0 });
      const bad = entries.filter(({ payload }) => payload.toString() === "bad");
      const docs = on.collection(tallyModel).of(TALLY_WORKSPACE);
      for (const { position } of bad) await docs.insert({ id: "x", position, count: "none" as never });
    };
    await run(["ada", "poison", "bad", "ada"], { projections: [told([], { project: refused })] }).idle();
    expect(await tallies()).toMatchObject({ ada: 2 });
    expect(alarms).toMatchObject([
      { kind: "poison", position: 20, error: "TypeError" },
      { kind: "poison", position: 30, error: "Error" },
    ]);
    expect((await poisons(store).find({})).map(({ position }) => position)).toEqual([20, 30]);
  });

  it("knows after a crash what was set aside of it", async () => {
    await dead(run(["ada", "poison", "bob"], { store: dying(store, 3) }));
    const steps: number[][] = [];
    await poisons(store).insert({
      ...{ id: "tally/20", projection: "tally", position: 20, subject: "touches.marketing" },
      ...{ error: "TypeError", where: "", at: 0 },
    });
    const second = run(["ada", "poison", "bob"], { projections: [told(steps)] });
    await second.idle();
    expect(steps).toEqual([[10, 30]]);
    expect(alarms.filter(({ kind }) => kind === "poison")).toEqual([]);
    expect(second.gauges()["poison.tally"]).toBe(1);
  });

  it("is repeated without end when no entry is to blame, and says so once", async () => {
    let failures = 30;
    const project: Projection["project"] = async (entries, deps) => {
      if (entries.length > 1 && failures-- > 0) throw new RangeError("not yet");
      await tallyProjection.project(entries, deps);
    };
    await run(["ada", "bob"], { projections: [told([], { project })] }).idle();
    expect(await tallies()).toEqual({ ada: 1, bob: 1 });
    expect(alarms).toMatchObject([{ kind: "waiting", error: "RangeError" }]);
    expect(await poisons(store).count()).toBe(0);
  });

  it("blames nobody when the store goes away while it looks who is to blame", async () => {
    let calls = 0;
    const project: Projection["project"] = async (entries, deps) => {
      calls += 1;
      if (calls <= 4) throw new RangeError("not yet");
      if (calls === 5) throw new ConnectError("the store is away", Code.Unavailable);
      await tallyProjection.project(entries, deps);
    };
    await run(["ada", "bob"], { projections: [told([], { project })] }).idle();
    expect(await tallies()).toEqual({ ada: 1, bob: 1 });
    expect(await poisons(store).count()).toBe(0);
  });
});
