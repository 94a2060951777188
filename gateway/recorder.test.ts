import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type TouchInput, TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { openLogger } from "#runtime/logger.ts";
import { IntakeLine } from "./intake-line.ts";
import { redirectTouches } from "./metrics.ts";
import { TouchQueue } from "./queue/touch-queue.ts";
import { Recorder } from "./recorder.ts";

interface Call {
  ids: string[];
}

let recorder: Recorder;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "recorder-"));
});
afterEach(async () => {
  await recorder.close(0);
  await rm(folder, { recursive: true });
});

/** An intake that fails with the errors given, in order, and then takes all. */
async function opened(
  given: { fails?: Error[]; capacity?: number; hold?: Promise<void>; waitMs?: number; maxBytes?: number } & {
    isBad?: (id: string) => boolean;
  } = {},
) {
  const calls: Call[] = [];
  const fails = [...(given.fails ?? [])];
  const intake = {
    async recordTouches({ touches }: { touches: TouchInput[] }) {
      calls.push({ ids: touches.map(({ id }) => id) });
      await given.hold;
      const failure = fails.shift();
      if (failure !== undefined) throw failure;
      if (touches.some(({ id }) => given.isBad?.(id))) throw new ConnectError("broken", Code.Internal);
      return { accepted: touches.length, rejected: [], ids: [] };
    },
  };
  const log = openLogger("silent");
  const queue = await TouchQueue.open({ folder, key: Buffer.alloc(32, 1), log, maxBytes: given.maxBytes });
  const line = new IntakeLine({ intake: intake as never, log });
  recorder = new Recorder({ line, queue, log, capacity: given.capacity, waitMs: given.waitMs ?? 5_000 });
  const record = (id: string, workspace = "acme", test = false) =>
    recorder.record(create(TouchInputSchema, { id, ip: "203.0.113.9" }), { workspace, test });
  return { calls, record, queue };
}

const waitingFiles = async () => (await readdir(folder)).filter((name) => !name.startsWith("lock."));
const idsOf = (calls: readonly Call[]) => calls.flatMap(({ ids }) => ids);

async function counted(outcome: string): Promise<number> {
  const { values } = await redirectTouches.get();
  return values.find(({ labels }) => labels.outcome === outcome)?.value ?? 0;
}

const unavailable = () => new ConnectError("down", Code.Unavailable);
const forever = () => Array.from({ length: 1_000 }, unavailable);

describe("the recorder", () => {
  it("brings the touches of one turn in one call for each workspace, and nothing to the disk", async () => {
    const { calls, record, queue } = await opened();
    await Promise.all([record("a"), record("b"), record("c", "beta"), record("d"), record("e", "acme", true)]);
    expect(calls).toEqual([{ ids: ["a", "b", "d"] }, { ids: ["c"] }, { ids: ["e"] }]);
    expect([recorder.depth, queue.bytes, await waitingFiles()]).toEqual([0, 0, []]);
  });

  it("brings at most 1000 in one call", async () => {
    const { calls, record } = await opened();
    await Promise.all(Array.from({ length: 1_001 }, (_, i) => record(`t${i}`)));
    expect(calls.map(({ ids }) => ids.length)).toEqual([1_000, 1]);
  });

  it("gathers what comes while its calls are under way", async () => {
    const { promise: hold, resolve } = Promise.withResolvers<void>();
    const { calls, record } = await opened({ hold });
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

  it("has a touch on the disk before a redirect goes on without intake, and brings it once when intake is late", async () => {
    const { promise: hold, resolve } = Promise.withResolvers<void>();
    const { calls, record, queue } = await opened({ hold, waitMs: 5 });
    await record("a");
    expect([recorder.depth, queue.touches]).toEqual([1, 1]);
    resolve();
    await expect.poll(() => [recorder.depth, queue.bytes]).toEqual([0, 0]);
    expect(idsOf(calls)).toEqual(["a"]);
  });

  it("goes to the disk at once while intake is down, and brings all when it is back, under the same ids", async () => {
    const { calls, record, queue } = await opened({ fails: [unavailable(), unavailable()] });
    await record("a");
    expect(queue.touches).toBe(1);
    await Promise.all([record("b"), record("c", "beta"), record("d", "acme", true)]);
    expect([calls.length, queue.touches]).toEqual([1, 4]);
    await expect.poll(() => recorder.depth).toBe(0);
    expect(idsOf(calls).toSorted()).toEqual(["a", "a", "a", "b", "c", "d"]);
    await expect.poll(() => queue.bytes).toBe(0);
  });

  it("waits no longer for an intake that hangs", async () => {
    const { promise: hold, resolve } = Promise.withResolvers<void>();
    const { calls, record, queue } = await opened({ hold, waitMs: 60_000 });
    const first = record("a");
    await expect.poll(() => calls.length).toBe(1);
    await new Promise((next) => setTimeout(next, 210));
    await record("b");
    expect(queue.touches).toBe(1);
    resolve();
    await first;
    await expect.poll(() => recorder.depth).toBe(0);
    expect(idsOf(calls)).toEqual(["a", "b"]);
  });

  it("sheds and counts what neither intake nor a full disk takes", async () => {
    const before = await counted("shed");
    const { record, queue } = await opened({ fails: forever(), maxBytes: 200 });
    await Promise.all([record("a"), record("b"), record("c"), record("d")]);
    expect(queue.bytes).toBeLessThanOrEqual(200);
    expect(queue.touches).toBeGreaterThan(0);
    expect(await counted("shed")).toBe(before + 4 - queue.touches);
    expect(recorder.depth).toBe(queue.touches);
  });

  it("still takes what a full disk cannot when intake is only late", async () => {
    const before = await counted("shed");
    const { promise: hold, resolve } = Promise.withResolvers<void>();
    const { calls, record } = await opened({ hold, waitMs: 5, maxBytes: 1 });
    await record("a");
    resolve();
    await expect.poll(() => recorder.depth).toBe(0);
    expect([idsOf(calls), await counted("shed")]).toEqual([["a"], before]);
  });

  it("sheds and counts what the memory cannot take", async () => {
    const before = await counted("shed");
    const { promise: hold, resolve } = Promise.withResolvers<void>();
    const { calls, record } = await opened({ hold, capacity: 2 });
    const taken = [record("a"), record("b")];
    await record("c");
    expect(await counted("shed")).toBe(before + 1);
    resolve();
    await Promise.all(taken);
    expect(calls).toEqual([{ ids: ["a", "b"] }]);
  });

  it("gives up the one touch that intake can never take, and brings those beside it", async () => {
    const before = await counted("dropped");
    const { calls, record } = await opened({ isBad: (id) => id === "bad" });
    await Promise.all([record("a"), record("bad"), record("c")]);
    await expect.poll(() => recorder.depth, { timeout: 10_000 }).toBe(0);
    expect(calls.filter(({ ids }) => !ids.includes("bad"))).toEqual([{ ids: ["a"] }, { ids: ["c"] }]);
    expect(await counted("dropped")).toBe(before + 1);
  });

  it("brings the last touches at the stop", async () => {
    const { calls, record } = await opened({ fails: [unavailable()] });
    await record("a");
    await recorder.close(5_000);
    expect(recorder.depth).toBe(0);
    expect(calls).toEqual([{ ids: ["a"] }, { ids: ["a"] }]);
  });

  it("stops in time when intake stays down, and the next one brings what is left", async () => {
    const down = await opened({ fails: forever() });
    await down.record("a");
    await recorder.close(50);
    expect(recorder.depth).toBe(1);
    const up = await opened();
    await expect.poll(() => recorder.depth).toBe(0);
    expect(up.calls).toEqual([{ ids: ["a"] }]);
  });
});
