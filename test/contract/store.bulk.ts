import { describe, expect, it } from "vitest";
import { type Bench, type Thing, things } from "./store.models.ts";

/** Many writes in one call. */
export function bulkContract({ store, fresh }: Bench): void {
  const shelf = () => store().collection(things).of(fresh());

  describe("bulk", () => {
    it("writes in order and answers in the same order; a failure stops nobody", async () => {
      const docs = shelf();
      await docs.insert({ id: "old", kind: "cup", owner: "ada", slug: "s", size: 1 });
      const outcomes = await docs.bulk([
        { kind: "insert", doc: { id: "a", kind: "cup" } },
        { kind: "insert", doc: { id: "old", kind: "plate" } },
        { kind: "insert", doc: { id: "b", kind: "cup", owner: "ada", slug: "s" } },
        { kind: "update", id: "a", change: { inc: { size: 2 } } },
        { kind: "update", id: "missing", change: { inc: { size: 2 } } },
        { kind: "update", id: "a", change: { set: { owner: "ada", slug: "s" } } },
        { kind: "delete", id: "old" },
        { kind: "delete", id: "old" },
        { kind: "update", id: "a", change: { set: { owner: "ada", slug: "s" } } },
      ]);
      expect(outcomes).toEqual([
        { kind: "applied" },
        {
          kind: "exists",
          doc: { id: "old", version: 1, kind: "cup", owner: "ada", slug: "s", size: 1, labels: ["new"] },
        },
        { kind: "conflict", index: "owner_slug" },
        { kind: "applied" },
        { kind: "unmet" },
        { kind: "conflict", index: "owner_slug" },
        { kind: "applied" },
        { kind: "unmet" },
        { kind: "applied" },
      ]);
      expect(await docs.find({})).toEqual([
        { id: "a", version: 3, kind: "cup", size: 2, labels: ["new"], owner: "ada", slug: "s" },
      ]);
    });

    it("does nothing for an empty list", async () => {
      expect(await shelf().bulk([])).toEqual([]);
    });

    it("makes a missing document from the upsert, the defaults and the change", async () => {
      const docs = shelf();
      const write = {
        kind: "update",
        id: "a",
        change: { inc: { size: 2, "counts.US": 1 }, max: { at: 5 }, set: { note: "n" } },
        upsert: { kind: "cup", counts: {} },
      } as const;
      expect(await docs.bulk([write, write])).toEqual([{ kind: "applied" }, { kind: "applied" }]);
      const expected = { kind: "cup", size: 4, counts: { US: 2 }, at: 5, note: "n", labels: ["new"] };
      expect(await docs.get("a")).toEqual({ id: "a", version: 2, ...expected });
    });

    it("does not carry the change of one document into another through what they were made from", async () => {
      const docs = shelf();
      const upsert: Partial<Thing> = { kind: "cup", counts: { by: {} } };
      await docs.bulk(
        ["a", "b"].map((id) => ({ kind: "update", id, change: { inc: { "counts.by.hour": 1 } }, upsert })),
      );
      expect((await docs.get("b"))?.counts).toEqual({ by: { hour: 1 } });
      expect(upsert).toEqual({ kind: "cup", counts: { by: {} } });
    });

    it("leaves an existing document alone whose guard does not hold, upsert or not", async () => {
      const docs = shelf();
      await docs.insert({ id: "a", kind: "cup", at: 9 });
      const before = await docs.get("a");
      const change = { inc: { size: 1 } };
      const outcomes = await docs.bulk([
        { kind: "update", id: "a", change, guard: { where: { at: { lt: 9 } } }, upsert: { kind: "cup" } },
        { kind: "update", id: "a", change, guard: { where: { note: { exists: true } } }, upsert: { kind: "cup" } },
        { kind: "update", id: "a", change, guard: { version: 2 }, upsert: { kind: "cup" } },
        { kind: "update", id: "a", change, guard: { version: 0 }, upsert: { kind: "cup" } },
      ]);
      expect(outcomes).toEqual([{ kind: "unmet" }, { kind: "unmet" }, { kind: "unmet" }, { kind: "unmet" }]);
      expect(await docs.get("a")).toEqual(before);
    });

    it("makes a missing document whatever the filter of the guard, but not against a version that it never had", async () => {
      const docs = shelf();
      const change = { inc: { size: 1 } };
      const outcomes = await docs.bulk([
        { kind: "update", id: "a", change, guard: { where: { at: { lt: 9 } } }, upsert: { kind: "cup" } },
        { kind: "update", id: "b", change, guard: { version: 0 }, upsert: { kind: "cup" } },
        { kind: "update", id: "c", change, guard: { version: 3 }, upsert: { kind: "cup" } },
      ]);
      expect(outcomes).toEqual([{ kind: "applied" }, { kind: "applied" }, { kind: "unmet" }]);
    });

    it("names the index that stands against an upsert", async () => {
      const docs = shelf();
      await docs.insert({ id: "a", kind: "cup", owner: "ada", slug: "s" });
      const outcomes = await docs.bulk([
        { kind: "update", id: "b", change: { set: { slug: "s" } }, upsert: { kind: "cup", owner: "ada" } },
      ]);
      expect(outcomes).toEqual([{ kind: "conflict", index: "owner_slug" }]);
      expect(await docs.get("b")).toBeUndefined();
    });

    it("rejects when the model refuses a document", async () => {
      const docs = shelf();
      const bad = { id: "b", kind: 7 } as unknown as Thing;
      await expect(docs.bulk([{ kind: "insert", doc: bad }])).rejects.toThrow("kind must be a string");
      expect(await docs.get("b")).toBeUndefined();
      const upsert = docs.bulk([{ kind: "update", id: "c", change: { inc: { size: 1 } }, upsert: {} }]);
      await expect(upsert).rejects.toThrow("kind is required");
    });

    it("takes thousands in one call", async () => {
      const docs = shelf();
      const writes = Array.from({ length: 3_000 }, (_, n) => ({
        kind: "insert" as const,
        doc: { id: `t${n % 2_500}`, kind: "cup", at: n },
      }));
      const outcomes = await docs.bulk(writes);
      expect(outcomes.filter(({ kind }) => kind === "applied")).toHaveLength(2_500);
      expect(await docs.count()).toBe(2_500);
    });
  });
}
