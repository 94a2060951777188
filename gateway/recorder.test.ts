import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { type TouchInput, TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { openLogger } from "#runtime/logger.ts";
import { redirectTouches } from "./metrics.ts";
import { Recorder } from "./recorder.ts";

interface Call {
  ids: string[];
}

let recorder: Recorder;
afterEach(() => recorder.close(100));

/** An intake that fails with the errors given, in order, and then takes all. */
function opened(given: { fails?: Error[]; capacity?: number; hold?: Promise<void>; waitMs?: number } = {}) {
  const calls: Call[] = [];
  const fails = [...(given.fails ?? [])];
  const intake = {
    async recordTouches({ touches }: { touches: TouchInput[] }) {
      calls.push({ ids: touches.map(({ id }) => id) });
      await given.hold;
      const failure = fails.shift();
      if (failure !== undefined) throw failure;
      return { accepted: touches.length, rejected: [], ids: [] };
    },
  };
  recorder = new Recorder({
    intake: intake as unknown as ConstructorParameters<typeof Recorder>[0]["intake"],
    log: openLogger("silent"),
    capacity: given.capacity,
    waitMs: given.waitMs ?? 5_000,
  });
  const record = (id: string, workspace = "acme", test = false) =>
    recorder.record(create(TouchInputSchema, { id }), { workspace, test });
  return { calls, record };
}

async function counted(outcome: string): Promise<number> {
  const { values } = await redirectTouches.get();
  return values.find(({ labels }) => labels.outcome === outcome)?.value ?? 0;
}

const unavailable = () => new ConnectError("down", Code.Unavailable);

describe("the recorder", () => {
  it("brings the touches of one turn in one call for each workspace", async () => {
    const { calls, record } = opened();
    await Promise.all([record("a"), record("b"), record("c", "beta"), record("d"), record("e", "acme", true)]);
    expect(calls).toEqual([{ ids: ["a", "b", "d"] }, { ids: ["c"] }, { ids: ["e"] }]);
    expect(recorder.depth).toBe(0);
  });

  it("brings at most 1000 in one call", async () => {
    const { calls, record } = opened();
    await Promise.all(Array.from({ length: 1_001 }, (_, i) => record(`t${i}`)));
    expect(calls.map(({ ids }) => ids.length)).toEqual([1_000, 1]);
  });

  it("gathers what comes while its calls are under way", async () => {
    const { promise: hold, resolve } = Promise.withResolvers<void>();
    const { calls, record } = opened({ hold });
    const all: Promise<void>[] = [];
    for (let turn = 0; turn < 6; turn++) {
      all.push(record(`t${turn}`));
      await new Promise((next) => setImmediate(next));
    }
    expect(calls).toHaveLength(4);
    resolve();
    await Promise.all(all);
    expect(calls.map(({ ids }) => ids)).toEqual([["t0"], ["t1"], ["t2"], ["t3"], ["t4", "t5"]]);
  });

  it("sends again under the same ids until intake takes them", async () => {
    const { calls, record } = opened({ fails: [unavailable(), unavailable()] });
    await Promise.all([record("a"), record("b")]);
    await expect.poll(() => recorder.depth).toBe(0);
    expect(calls).toEqual([{ ids: ["a", "b"] }, { ids: ["a", "b"] }, { ids: ["a", "b"] }]);
  });

  it("lets nobody wait for a touch that failed, nor for one behind it", async () => {
    const { calls, record } = opened({ fails: [unavailable()] });
    await record("a");
    await record("b");
    expect(calls).toHaveLength(1);
    await expect.poll(() => recorder.depth).toBe(0);
    expect(calls[1]).toEqual({ ids: ["a", "b"] });
  });

  it("lets nobody wait longer than it is told", async () => {
    const { promise: hold, resolve } = Promise.withResolvers<void>();
    const { record } = opened({ hold, waitMs: 5 });
    await record("a");
    expect(recorder.depth).toBe(1);
    resolve();
  });

  it("sheds and counts what a full queue cannot take", async () => {
    const before = await counted("shed");
    const { promise: hold, resolve } = Promise.withResolvers<void>();
    const { calls, record } = opened({ hold, capacity: 2 });
    const taken = [record("a"), record("b")];
    await record("c");
    expect(await counted("shed")).toBe(before + 1);
    resolve();
    await Promise.all(taken);
    expect(calls).toEqual([{ ids: ["a", "b"] }]);
  });

  it("gives up a batch that intake can never take", async () => {
    const before = await counted("dropped");
    const broken = () => new ConnectError("broken", Code.Internal);
    const { calls, record } = opened({ fails: [broken(), broken(), broken(), broken(), broken()] });
    await record("a");
    await expect.poll(() => recorder.depth, { timeout: 10_000 }).toBe(0);
    expect(calls).toHaveLength(5);
    expect(await counted("dropped")).toBe(before + 1);
  });

  it("brings the last touches at the stop", async () => {
    const { calls, record } = opened({ fails: [unavailable()] });
    await record("a");
    await recorder.close(5_000);
    expect(recorder.depth).toBe(0);
    expect(calls).toEqual([{ ids: ["a"] }, { ids: ["a"] }]);
  });

  it("stops in time when intake stays down", async () => {
    const { record } = opened({ fails: Array.from({ length: 100 }, unavailable) });
    await record("a");
    await recorder.close(50);
    expect(recorder.depth).toBe(1);
  });
});
