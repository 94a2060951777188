import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Purpose, TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { type LogEntry, partitionOf } from "#runtime/log.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";
import { dumpOf, projectCleanly, projectThroughFaults, stepPlans, unbatched } from "../../test/support/faults.ts";
import { impressionModel } from "./model.ts";
import { impressionsProjection } from "./project.ts";
import { impressions as service } from "./service.ts";
import { totalOf } from "./totals.ts";

const POSTERS = ["p1", "p2", "p3"];
const PROGRAMS = new Map([
  ["p1", "a"],
  ["p2", "a"],
  ["p3", "b"],
]);

interface Given {
  id: string;
  human: boolean;
  test: boolean;
  purpose: Purpose;
  workspace: string;
}

const touch: fc.Arbitrary<Given> = fc.record({
  id: fc.integer({ min: 0, max: 30 }).map((n) => `i${n}`), // few, so that duplicates are common
  human: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  test: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  purpose: fc.constantFrom(Purpose.AMBASSADOR, Purpose.AMBASSADOR, Purpose.AMBASSADOR, Purpose.MEDICAL),
  workspace: fc.constantFrom("acme", "acme", "acme", "other"),
});
/** An entry of the log holds touches of one poster. */
const batch = fc.record({
  poster: fc.constantFrom(...POSTERS),
  touches: fc.array(touch, { minLength: 1, maxLength: 5 }),
});
const batches = fc.array(batch, { maxLength: 15 });
type Batch = { poster: string; touches: Given[] };
/** Sizes of chunks; they are repeated until all entries are in. */
const chunks = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 6 });

function entriesOf(all: Batch[]): LogEntry[] {
  return all.map(({ poster, touches }, i) => {
    const message = create(TouchBatchSchema, {
      touches: touches.map(({ id, human, test, purpose, workspace }) => ({
        id,
        workspaceId: workspace,
        purpose,
        codeId: poster,
        parentId: PROGRAMS.get(poster) ?? "",
        ownerId: "student",
        verdict: human ? Verdict.HUMAN : Verdict.BOT,
        test,
      })),
    });
    const payload = toBinary(TouchBatchSchema, message);
    const partition = partitionOf(poster);
    return { position: i * 3 + 1, partition, subject: "touches.ambassador", payload, appendedAt: 0 };
  });
}

async function project(entries: LogEntry[], sizes: number[], store: Store): Promise<void> {
  for (let at = 0, i = 0; at < entries.length; i += 1) {
    const size = sizes[i % sizes.length] as number;
    await impressionsProjection.project(entries.slice(at, at + size), { store, now: () => 0 });
    at += size;
  }
}

const filters = [
  {},
  { programId: "a" },
  { programId: "b" },
  { posterId: "p1" },
  { posterId: "p2" },
  { posterId: "p3" },
];

/** What counts, by going through everything: for each filter the ids, of live data and of test data. */
function expected(all: Batch[]) {
  const first = new Map<string, Given & { posterId: string; programId: string }>();
  for (const { poster, touches } of all) {
    for (const one of touches) {
      if (one.workspace !== "acme" || !one.human || one.purpose !== Purpose.AMBASSADOR || first.has(one.id)) continue;
      first.set(one.id, { ...one, posterId: poster, programId: PROGRAMS.get(poster) ?? "" });
    }
  }
  return [false, true].flatMap((test) =>
    filters.map((filter) => {
      const found = [...first.values()].filter((one) =>
        Object.entries({ ...filter, test }).every(([name, value]) => one[name as "id"] === value),
      );
      return { ids: found.map(({ id }) => id).sort(), total: found.length };
    }),
  );
}

async function answered(store: Store) {
  const asked = [false, true].flatMap((test) =>
    filters.map(async (filter) => {
      const found = await store
        .collection(impressionModel)
        .of("acme")
        .find({ where: { ...filter, test } });
      const principal = { workspace: "acme", test } as Principal;
      const total = await totalOf({ programId: "", posterId: "", ...filter }, store, principal);
      return { ids: found.map(({ id }) => id).sort(), total };
    }),
  );
  return Promise.all(asked);
}

function openStore(): Store {
  return openSqliteStore({ path: ":memory:", models: service.collections });
}

it("holds each scan of a person once with its totals, in whatever chunks the log is read, and read again", async () => {
  await fc.assert(
    fc.asyncProperty(batches, chunks, chunks, async (all, sizes, others) => {
      const store = openStore();
      await project(entriesOf(all), sizes, store);
      expect(await answered(store)).toStrictEqual(expected(all));
      await project(entriesOf(all), others, store);
      expect(await answered(store)).toStrictEqual(expected(all));
      await store.close();
    }),
    { numRuns: 60 },
  );
});

it("counts the same when replicas share the partitions and run at different speeds", async () => {
  await fc.assert(
    fc.asyncProperty(batches, chunks, async (all, sizes) => {
      const store = openStore();
      const unique = all.map(({ poster, touches }, i) => ({
        poster,
        touches: touches.map((one) => ({ ...one, id: `${one.id}-${i}` })), // which of two ids comes first is not told here
      }));
      const byPartition = Map.groupBy(entriesOf(unique), ({ partition }) => partition);
      for (const entries of [...byPartition.values()].reverse()) await project(entries, sizes, store);
      expect(await answered(store)).toStrictEqual(expected(unique));
      await store.close();
    }),
    { numRuns: 40 },
  );
});

it("goes on as if nothing had been after a crash between any two writes", async () => {
  await fc.assert(
    fc.asyncProperty(batches, chunks, fc.array(fc.nat({ max: 8 }), { maxLength: 6 }), async (all, sizes, crashes) => {
      const store = openStore();
      for (const writes of crashes) await project(entriesOf(all), sizes, crashing(store, writes)).catch(onlyCrash);
      await project(entriesOf(all), [1], store);
      expect(await answered(store)).toStrictEqual(expected(all));
      await store.close();
    }),
    { numRuns: 60 },
  );
});

it("counts a step once after any deaths, by twins, and when one that was stopped goes on later", async () => {
  await fc.assert(
    fc.asyncProperty(batches, stepPlans, async (all, plans) => {
      const [tried, clean] = [unbatched(openStore()), unbatched(openStore())];
      const course = { projection: impressionsProjection, entries: entriesOf(all), plans, now: () => 0 };
      await projectThroughFaults({ ...course, store: tried });
      await projectCleanly({ ...course, store: clean });
      const documents = { models: service.collections, workspaces: ["acme", "other"] };
      expect(await dumpOf(tried, documents)).toEqual(await dumpOf(clean, documents));
      expect(await answered(tried)).toStrictEqual(expected(all));
      await Promise.all([tried.close(), clean.close()]);
    }),
    { numRuns: 60 },
  );
});

/** The store, whose power fails in the middle of the bulk after so many. */
function crashing(store: Store, writes: number): Store {
  let left = writes;
  const collection: Store["collection"] = (model) => ({
    of: (workspace) => {
      const inner = store.collection(model).of(workspace);
      const bulk: typeof inner.bulk = async (list) => {
        if (left > 0) {
          left -= 1;
          return inner.bulk(list);
        }
        await inner.bulk(list.slice(0, Math.ceil(list.length / 2)));
        throw new Error("crash");
      };
      return { ...inner, bulk };
    },
  });
  return { ...store, collection };
}

function onlyCrash(error: Error): void {
  if (error.message !== "crash") throw error;
}
