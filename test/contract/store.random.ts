import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reasonOf } from "#runtime/failure.ts";
import type { Change, Collection, Guard, Outcome, Query, Where, Write } from "#runtime/store.ts";
import { memoryShelf } from "./store.memory.ts";
import { type Bench, type Thing, things } from "./store.models.ts";

const ids = fc.constantFrom("a", "b", "c", "d", "é", "z");
const small = fc.integer({ min: -2, max: 3 });
const number = fc.oneof(small, fc.constantFrom(0.5, -1.25, 1_790_000_000_123));
const text = fc.oneof(fc.constantFrom("", "x", "y", "Z", "it's"), fc.string({ unit: "grapheme", maxLength: 4 }));
const words = fc.array(fc.constantFrom("red", "blue", "new"), { maxLength: 3 });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
const part = <T>(record: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(record, { requiredKeys: [] });

const fields = {
  at: number,
  size: number,
  live: fc.boolean(),
  owner: fc.constantFrom("ada", "bob"),
  slug: fc.constantFrom("s", "t"),
  note: text,
  labels: words,
  counts: fc.dictionary(fc.constantFrom("US", "DE"), small),
};
const thing = fc.record({ kind: fc.constantFrom("cup", "plate"), ...fields }, { requiredKeys: ["kind"] });

const range = (value: fc.Arbitrary<number | string>) =>
  part({ gt: value, gte: value, lt: value, lte: value, ne: value });
const condition = <T extends number | string>(value: fc.Arbitrary<T>) =>
  fc.oneof(
    value,
    range(value),
    fc.record({ in: fc.array(value, { maxLength: 3 }) }),
    fc.record({ exists: fc.boolean() }),
  );
const where = part({
  id: condition(ids),
  kind: condition(fc.constantFrom("cup", "plate")),
  at: condition(number),
  size: condition(number),
  live: fc.oneof(fc.boolean(), fc.record({ ne: fc.boolean() })),
  note: condition(text),
  labels: fc.record({ has: fc.constantFrom("red", "new") }),
}) as fc.Arbitrary<Where<Thing>>;
const rareWhere = fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, { weight: 3, arbitrary: where });

const paths = fc.constantFrom("size", "counts.US", "counts.FR");
const change = part({
  set: part({ ...fields, kind: fc.constantFrom("cup", "plate"), "counts.DE": small }),
  unset: fc.subarray(["at", "note", "owner", "live", "counts"]),
  inc: fc.dictionary(paths, small, { maxKeys: 2 }),
  min: fc.dictionary(paths, number, { maxKeys: 1 }),
  max: fc.dictionary(paths, number, { maxKeys: 1 }),
}) as fc.Arbitrary<Change<Thing>>;
const guard = part({ version: fc.integer({ min: 0, max: 3 }), where }) as fc.Arbitrary<Guard<Thing>>;

const write: fc.Arbitrary<Write<Thing>> = fc.oneof(
  fc.tuple(ids, thing).map(([id, doc]): Write<Thing> => ({ kind: "insert", doc: { ...doc, id } })),
  fc
    .record({ id: ids, change, guard: maybe(guard), upsert: maybe(thing) })
    .map((update): Write<Thing> => ({ kind: "update", ...update })),
  ids.map((id): Write<Thing> => ({ kind: "delete", id })),
);
const sortable = fc.constantFrom<keyof Thing & string>("id", "kind", "at", "size", "live", "note", "version");
const sort = fc.uniqueArray(fc.tuple(sortable, fc.constantFrom(1 as const, -1 as const)), {
  selector: ([field]) => field,
  maxLength: 3,
});
const query = fc.record(
  { where: rareWhere, sort, limit: fc.integer({ min: 0, max: 5 }), skip: fc.integer({ min: 0, max: 3 }) },
  { requiredKeys: [] },
) as fc.Arbitrary<Query<Thing>>;

const single = fc.record({ id: ids, change, guard: maybe(guard) });

/** One step: writes in one of two workspaces, an update alone, then a question in the other and in that. */
const step = fc.record({
  workspace: fc.nat(1),
  writes: fc.array(write, { minLength: 1, maxLength: 6 }),
  update: maybe(single),
  query,
});

type Single = { id: string; change: Change<Thing>; guard: Guard<Thing> | undefined };

/** What an update alone comes to, as the outcome that a bulk would give it. */
async function outcomeOf(docs: Collection<Thing>, { id, change, guard }: Single): Promise<Outcome<Thing>> {
  try {
    const after = await docs.update(id, change, guard);
    if (after === undefined) return { kind: "unmet" };
    expect(after).toEqual(await docs.get(id));
    return { kind: "applied" };
  } catch (error) {
    const { reason, metadata } = reasonOf(error) ?? {};
    if (reason !== "DOCUMENT_CONFLICT") throw error;
    return { kind: "conflict", index: metadata?.index as string };
  }
}

/** Any sequence of writes and questions, in two workspaces, gives what a plain Map gives. */
export function randomContract({ store, fresh }: Bench): void {
  describe("any sequence of writes and questions", () => {
    it("gives what a plain map gives, each workspace for itself", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
          const shelves = [0, 1].map(() => ({ real: store().collection(things).of(fresh()), plain: memoryShelf() }));
          for (const { workspace, writes, update, query } of steps) {
            const written = shelves[workspace] as (typeof shelves)[number];
            expect(await written.real.bulk(writes)).toEqual(writes.map(written.plain.write));
            if (update !== undefined)
              expect(await outcomeOf(written.real, update)).toEqual(written.plain.write({ kind: "update", ...update }));
            for (const { real, plain } of shelves) {
              expect(await real.find(query)).toEqual(plain.find(query));
              expect(await real.count(query.where)).toBe(plain.find({ where: query.where }).length);
            }
          }
        }),
        { numRuns: 150 },
      );
    });
  });
}
