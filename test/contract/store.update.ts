import { describe, expect, it } from "vitest";
import { reasonOf } from "#runtime/failure.ts";
import type { Change } from "#runtime/store.ts";
import { type Bench, type Thing, things } from "./store.models.ts";

/** Changes of one document, and guards. */
export function updateContract({ store, fresh }: Bench): void {
  const shelf = async (...docs: Thing[]) => {
    const collection = store().collection(things).of(fresh());
    for (const doc of docs) await collection.insert(doc);
    return collection;
  };
  const cup: Thing = { id: "a", kind: "cup", at: 10, size: 3, counts: { US: 1, by: { hour: 2 } }, labels: [] };

  describe("update", () => {
    it.each<[string, Change<Thing>, Partial<Thing>]>([
      [
        "sets fields",
        { set: { kind: "plate", live: true, labels: ["x"] } },
        { kind: "plate", live: true, labels: ["x"] },
      ],
      ["sets an object whole", { set: { counts: { DE: 1 } } }, { counts: { DE: 1 } }],
      ["sets by path", { set: { "counts.by.day": 5 } }, { counts: { US: 1, by: { hour: 2, day: 5 } } }],
      ["leaves what is undefined", { set: { kind: undefined } }, {}],
      ["unsets", { unset: ["at", "note"] }, { at: undefined }],
      ["unsets by path", { unset: ["counts.by.hour"] }, { counts: { US: 1, by: {} } }],
      ["counts up and down", { inc: { size: 2, at: -0.5 } }, { size: 5, at: 9.5 }],
      ["counts what is missing from 0", { inc: { "counts.DE": 2 } }, { counts: { US: 1, DE: 2, by: { hour: 2 } } }],
      ["counts by a path that is not there", { inc: { "counts.x.y": 1 } }, { counts: { ...cup.counts, x: { y: 1 } } }],
      ["lowers", { min: { size: 1, at: 99 } }, { size: 1, at: 10 }],
      ["raises", { max: { size: 1, at: 99 } }, { size: 3, at: 99 }],
      [
        "sets a missing number by min and max",
        { unset: ["at"], max: { "counts.last": -4 } },
        { at: undefined, counts: { ...cup.counts, last: -4 } },
      ],
      [
        "does all at once",
        { set: { note: "n" }, inc: { size: 1 }, max: { at: 11 }, unset: ["live"] },
        { note: "n", size: 4, at: 11 },
      ],
    ])("%s", async (_case, change, after) => {
      const docs = await shelf(cup);
      const expected = JSON.parse(JSON.stringify({ ...cup, ...after, version: 2 })) as Thing;
      expect(await docs.update("a", change)).toEqual(expected);
      expect(await docs.get("a")).toEqual(expected);
    });

    it("keeps every index in step", async () => {
      const docs = await shelf(cup);
      await docs.update("a", { set: { kind: "plate" }, inc: { at: 5 } });
      expect(await docs.count({ kind: "cup" })).toBe(0);
      expect(await docs.count({ kind: "plate", at: { gte: 15 } })).toBe(1);
      await docs.update("a", { unset: ["at"] });
      expect(await docs.count({ kind: "plate", at: { exists: false } })).toBe(1);
    });

    it("takes names from outside for what they are", async () => {
      const docs = await shelf(cup);
      await docs.update("a", { inc: { "counts.__proto__": 1, "counts.constructor": 1, "counts.$x y": 1 } });
      await docs.update("a", { inc: { "counts.constructor": 1, "counts.__proto__": 4 } });
      const counts = (await docs.get("a"))?.counts ?? {};
      expect(Object.entries(counts)).toEqual(
        expect.arrayContaining([
          ["constructor", 2],
          ["__proto__", 5],
          ["$x y", 1],
        ]),
      );
      expect(({} as Record<string, unknown>).x).toBeUndefined();
    });

    it("gives nothing for a document that is missing", async () => {
      const docs = await shelf();
      expect(await docs.update("a", { set: { kind: "cup" } })).toBeUndefined();
      expect(await docs.count()).toBe(0);
    });

    it.each<[string, Change<Thing>, string]>([
      ["an undeclared field", { set: { colour: 1 } }, "colour is not in the model"],
      ["a count of an undeclared field", { inc: { colour: 1 } }, "colour is not in the model"],
      ["a value of another kind", { set: { at: "x" as never } }, "at must be a finite number"],
      ["unsetting what is required", { unset: ["kind"] }, "kind is required"],
      ["counting a string", { inc: { kind: 1 } }, "not a number"],
      ["counting by what is not a number", { inc: { size: Number.NaN } }, "finite number"],
      ["a path into what is not an object", { inc: { "kind.x": 1 } }, "not a path"],
      ["a path through a number", { inc: { "counts.US.x": 1 } }, "not an object"],
      ["an empty name in a path", { inc: { "counts..x": 1 } }, "not a path"],
    ])("refuses %s and changes nothing", async (_case, change, message) => {
      const docs = await shelf(cup);
      await expect(docs.update("a", change)).rejects.toThrow(message);
      expect(await docs.get("a")).toEqual({ ...cup, version: 1 });
    });

    it("refuses what a unique index stands against, as ALREADY_EXISTS", async () => {
      const docs = await shelf({ ...cup, owner: "ada", slug: "s" }, { id: "b", kind: "cup", owner: "ada", slug: "t" });
      const error = await docs.update("b", { set: { slug: "s" } }).catch((caught: unknown) => caught);
      expect(reasonOf(error)).toMatchObject({ reason: "DOCUMENT_CONFLICT", metadata: { index: "owner_slug" } });
      expect((await docs.get("b"))?.slug).toBe("t");
      expect(await docs.update("b", { set: { slug: "t", note: "own place" } })).toBeDefined();
    });

    it("loses none of many concurrent counts", async () => {
      const docs = await shelf(cup);
      await Promise.all(Array.from({ length: 50 }, () => docs.update("a", { inc: { size: 1 } })));
      expect(await docs.get("a")).toMatchObject({ size: 53, version: 51 });
    });
  });

  describe("guards", () => {
    it("compares the version and sets", async () => {
      const docs = await shelf(cup);
      expect(await docs.update("a", { inc: { size: 1 } }, { version: 1 })).toMatchObject({ version: 2, size: 4 });
      expect(await docs.update("a", { inc: { size: 1 } }, { version: 1 })).toBeUndefined();
      expect(await docs.get("a")).toMatchObject({ version: 2, size: 4 });
    });

    it("lets one of many with the same version win", async () => {
      const docs = await shelf(cup);
      const tries = Array.from({ length: 10 }, () => docs.update("a", { inc: { size: 1 } }, { version: 1 }));
      expect((await Promise.all(tries)).filter((doc) => doc !== undefined)).toHaveLength(1);
    });

    it("asks the document as stored, before the change", async () => {
      const docs = await shelf(cup);
      const guard = { where: { at: { lt: 11 }, kind: "cup", note: { ne: "done" } } };
      expect(await docs.update("a", { set: { at: 11 } }, guard)).toMatchObject({ at: 11 });
      expect(await docs.update("a", { set: { at: 12 } }, guard)).toBeUndefined();
      expect((await docs.get("a"))?.at).toBe(11);
    });

    it("compares strings by code point, as find does", async () => {
      const docs = await shelf({ ...cup, note: "\u{1F600}" });
      const change = { inc: { size: 1 } };
      expect(await docs.update("a", change, { where: { note: { lte: "\uFF5E" } } })).toBeUndefined();
      expect(await docs.update("a", change, { where: { note: { gt: "\uFF5E" } } })).toBeDefined();
      expect(await docs.count({ note: { gt: "\uFF5E" } })).toBe(1);
    });

    it("makes a counter that a replay does not count twice", async () => {
      const docs = await shelf();
      const apply = (position: number) =>
        docs.bulk([
          {
            kind: "update",
            id: "a",
            change: { inc: { size: 1 }, set: { at: position } },
            guard: { where: { at: { lt: position } } },
            upsert: { kind: "cup" },
          },
        ]);
      for (const position of [4, 7]) expect(await apply(position)).toEqual([{ kind: "applied" }]);
      for (const position of [4, 7]) expect(await apply(position)).toEqual([{ kind: "unmet" }]);
      expect(await apply(9)).toEqual([{ kind: "applied" }]);
      expect(await docs.get("a")).toMatchObject({ size: 3, at: 9, version: 3 });
    });
  });
}
