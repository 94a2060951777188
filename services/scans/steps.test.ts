import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LogEntry } from "#runtime/log.ts";
import { poisonModel, poisons } from "#runtime/runner/poison.ts";
import { runProjections } from "#runtime/runner.ts";
import type { Store } from "#runtime/store.ts";
import {
  dumpOf,
  dying,
  listLog,
  projectCleanly,
  projectThroughFaults,
  slowed,
  stepPlans,
} from "../../test/support/faults.ts";
import { type UnbatchedServer, unbatchedEngines } from "../../test/support/unbatched-stores.ts";
import { scansModels } from "./model.ts";
import { scansProjection } from "./project.ts";
import { type Event, entry, NOW, toEntry, zones } from "./test-histories.ts";
import { expectAll } from "./test-sums.ts";

const entriesOf = (history: readonly Event[][]) => history.map((events, index) => toEntry(events, index + 1));
const models = [...scansModels, poisonModel];

describe.each(unbatchedEngines)("the projection of scans on $name", ({ missing, numRuns, start }) => {
  let server: UnbatchedServer;
  beforeAll(async () => {
    if (!missing) server = await start();
  });
  afterAll(() => server?.stop());

  it.skipIf(missing)(
    "counts a step once after any deaths, by twins, and when one that was stopped goes on later",
    { timeout: 120_000 },
    async () => {
      const property = fc.asyncProperty(
        fc.array(entry, { minLength: 1, maxLength: 30 }),
        stepPlans,
        fc.constantFrom(...zones),
        async (history, plans, zone) => {
          const entries = entriesOf(history);
          const [tried, clean] = [await server.open(models), await server.open(models)];
          const course = { projection: scansProjection, entries, plans, now: () => NOW };
          await projectThroughFaults({ ...course, store: tried });
          await projectCleanly({ ...course, store: clean });
          const all = { models: scansModels, workspaces: ["ws"] };
          expect(await dumpOf(tried, all)).toEqual(await dumpOf(clean, all));
          await expectAll(tried, history, { zone, entries });
          await Promise.all([tried.close(), clean.close()]);
        },
      );
      await fc.assert(property, { numRuns });
    },
  );

  it.skipIf(missing)(
    "counts everything once when processes die at any write, two at a time, and sets the undecodable aside",
    { timeout: 120_000 },
    async () => {
      const property = fc.asyncProperty(
        fc.array(fc.oneof({ weight: 9, arbitrary: entry }, { weight: 1, arbitrary: fc.constant("poison" as const) }), {
          minLength: 1,
          maxLength: 25,
        }),
        fc.array(fc.tuple(fc.nat({ max: 80 }), fc.array(fc.nat({ max: 3 }), { minLength: 1 })), { maxLength: 6 }),
        async (history, lives) => {
          const entries = history.map((one, index) => (one === "poison" ? poison(index + 1) : toEntry(one, index + 1)));
          const store = await server.open(models);
          for (let at = 0; at + 1 < lives.length; at += 2) await live(store, entries, lives.slice(at, at + 2));
          await live(store, entries, [
            [Number.POSITIVE_INFINITY, [0, 1]],
            [Number.POSITIVE_INFINITY, [1, 0, 2]],
          ]);
          const aside = await poisons(store).find({ sort: [["position", 1]] });
          const expected = entries.filter(({ payload }) => payload.byteLength === 1);
          expect(aside.map(({ position }) => position)).toEqual(expected.map(({ position }) => position));
          const sound = history.filter((one) => one !== "poison");
          const counted = entries.filter(({ payload }) => payload.byteLength > 1);
          await expectAll(store, sound, { zone: "UTC", entries: counted });
          await store.close();
        },
      );
      await fc.assert(property, { numRuns });
    },
  );
});

/** An entry that no projection can decode. */
function poison(position: number): LogEntry {
  return { position, partition: 0, subject: "touches.marketing", payload: Uint8Array.of(0xff), appendedAt: NOW };
}

/** Processes that run the projection at once, on the same store, until all is done or each has died. */
async function live(store: Store, entries: readonly LogEntry[], lives: readonly (readonly [number, number[]])[]) {
  const log = listLog(entries);
  const running = lives.map(([writes, turns]) => {
    const died = Promise.withResolvers<void>();
    const onError = ({ kind, error }: { kind: string; error: string }) => {
      if (kind === "waiting" && error !== "WatermarkMoved") died.resolve();
    };
    const own = slowed(dying(store, writes), turns);
    const options = { projections: [scansProjection], store: own, log, now: () => NOW, backoffMs: () => 1, onError };
    const runner = runProjections(options);
    return { runner, ended: Promise.race([died.promise, runner.idle()]) };
  });
  await Promise.all(running.map(({ ended }) => ended));
  await Promise.all(running.map(({ runner }) => runner.stop()));
}
