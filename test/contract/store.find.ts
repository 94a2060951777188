import { beforeAll, describe, expect, it } from "vitest";
import type { Collection, Query, Where } from "#runtime/store.ts";
import { type Bench, type Thing, things } from "./store.models.ts";

const shelf: Thing[] = [
  { id: "a", kind: "cup", at: 10, size: 3, live: true, labels: ["red", "old"] },
  { id: "b", kind: "cup", at: 20, size: 1, live: false, labels: ["red"] },
  { id: "c", kind: "plate", at: 20, size: 2, note: "n", labels: [] },
  { id: "d", kind: "cup", size: 2, live: true, labels: ["blue"] },
  { id: "e", kind: "cup", at: 20, size: 5, note: "", labels: ["redder"] },
  { id: "f", kind: "émail", at: 30, size: 4, note: 'it\'s "quoted"', labels: ["it's"] },
];

/** Filters, orders, pages and counts. */
export function findContract({ store, fresh }: Bench): void {
  describe("find and count", () => {
    let docs: Collection<Thing>;
    beforeAll(async () => {
      docs = store().collection(things).of(fresh());
      await docs.bulk(shelf.toReversed().map((doc) => ({ kind: "insert", doc })));
    });
    const ids = async (query: Query<Thing>) => (await docs.find(query)).map(({ id }) => id).join("");

    it.each<[string, Where<Thing>, string]>([
      ["everything", {}, "abcdef"],
      ["equality on an indexed field", { kind: "cup" }, "abde"],
      ["equality on a field without index", { note: "n" }, "c"],
      ["equality with the empty string", { note: "" }, "e"],
      ["a value with quotes", { note: 'it\'s "quoted"' }, "f"],
      ["a value beyond ASCII", { kind: "émail" }, "f"],
      ["true", { live: true }, "ad"],
      ["false", { live: false }, "b"],
      ["several fields", { kind: "cup", at: 20 }, "be"],
      ["greater than", { at: { gt: 20 } }, "f"],
      ["from", { at: { gte: 20 } }, "bcef"],
      ["less than", { at: { lt: 20 } }, "a"],
      ["up to", { at: { lte: 20 } }, "abce"],
      ["a range", { at: { gte: 15, lt: 30 } }, "bce"],
      ["an empty range", { at: { gte: 30, lt: 15 } }, ""],
      ["a range of strings", { kind: { gte: "d", lt: "z" } }, "c"],
      ["a range on a field without index", { note: { gt: "" } }, "cf"],
      ["one of", { kind: { in: ["plate", "émail", "plate", "none"] } }, "cf"],
      ["one of numbers", { at: { in: [10, 30] } }, "af"],
      ["one of booleans", { live: { in: [false] } }, "b"],
      ["one of none", { kind: { in: [] } }, ""],
      ["one of, without index", { note: { in: ["n", 'it\'s "quoted"'] } }, "cf"],
      ["not equal, which what lacks the field meets", { at: { ne: 20 } }, "adf"],
      ["not equal, without index", { note: { ne: "n" } }, "abdef"],
      ["present", { at: { exists: true } }, "abcef"],
      ["absent", { at: { exists: false } }, "d"],
      ["absent, without index", { note: { exists: false } }, "abd"],
      ["a list that has a value", { labels: { has: "red" } }, "ab"],
      ["a list that has a value with a quote", { labels: { has: "it's" } }, "f"],
      ["conditions together on one field", { at: { in: [10, 20, 30], gt: 10, ne: 30 } }, "bce"],
      ["the id", { id: "c" }, "c"],
      ["a range of ids", { id: { gt: "c", lte: "e" } }, "de"],
      ["the version", { version: { gt: 1 } }, ""],
      ["undefined, which is no condition", { kind: undefined, at: { gte: undefined, lt: 20 } }, "a"],
    ])("finds by %s", async (_case, where, expected) => {
      expect(await ids({ where })).toBe(expected);
      expect(await docs.count(where)).toBe(expected.length);
    });

    it.each<[string, Query<Thing>["sort"], string]>([
      ["nothing, so by id", undefined, "abcdef"],
      ["a number, ties by id, absent first", [["at", 1]], "dabcef"],
      ["a number downwards, ties by id downwards, absent last", [["at", -1]], "fecbad"],
      ["a string", [["kind", 1]], "abdecf"],
      ["a boolean", [["live", 1]], "cefbad"],
      [
        "two fields",
        [
          ["kind", 1],
          ["at", 1],
        ],
        "dabecf",
      ],
      [
        "two fields in two directions",
        [
          ["at", 1],
          ["size", -1],
        ],
        "daecbf",
      ],
      [
        "two fields in two directions, ties in the direction of the last",
        [
          ["kind", -1],
          ["at", 1],
        ],
        "fcdabe",
      ],
      ["a field without index", [["note", 1]], "abdefc"],
      ["the id downwards", [["id", -1]], "fedcba"],
    ])("sorts by %s", async (_case, sort, expected) => {
      expect(await ids({ sort })).toBe(expected);
    });

    it.each<[string, Query<Thing>, string]>([
      ["one of several, by another field", { where: { kind: { in: ["plate", "cup"] } }, sort: [["at", 1]] }, "dabce"],
      ["the same downwards", { where: { kind: { in: ["plate", "cup"] } }, sort: [["at", -1]] }, "ecbad"],
      [
        "a page of it",
        { where: { kind: { in: ["émail", "plate", "cup"] } }, sort: [["at", -1]], limit: 3, skip: 1 },
        "ecb",
      ],
      [
        "a page of it from one value",
        { where: { kind: { in: ["plate", "cup"] } }, sort: [["at", 1]], limit: 2, skip: 1 },
        "ab",
      ],
      ["a range, by its field", { where: { kind: "cup", at: { gte: 10 } }, sort: [["at", -1]] }, "eba"],
      ["a filter without index, by a field with one", { where: { note: { exists: true } }, sort: [["at", 1]] }, "cef"],
    ])("finds %s", async (_case, query, expected) => {
      expect(await ids(query)).toBe(expected);
    });

    it("pages with limit and skip, the pages together being the whole", async () => {
      const query: Query<Thing> = { sort: [["at", -1]], limit: 2 };
      expect(await ids(query)).toBe("fe");
      expect(await ids({ ...query, skip: 2 })).toBe("cb");
      expect(await ids({ ...query, skip: 4 })).toBe("ad");
      expect(await ids({ ...query, skip: 6 })).toBe("");
      expect(await ids({ limit: 0 })).toBe("");
      expect(await ids({ skip: 4 })).toBe("ef");
    });

    it("sorts strings by code point, as they are", async () => {
      const words = store().collection(things).of(fresh());
      const kinds = ["b", "B", "a", "ä", "\u{1F600}", "\uFF5E", "10", "9", "aa"];
      await words.bulk(kinds.map((kind, n) => ({ kind: "insert", doc: { id: `${n}`, kind } })));
      const found = await words.find({ sort: [["kind", 1]] });
      expect(found.map(({ kind }) => kind)).toEqual(["10", "9", "B", "a", "aa", "b", "ä", "\uFF5E", "\u{1F600}"]);
      expect(await words.count({ kind: { gt: "\uFF5E" } })).toBe(1);
    });

    it.each<[string, unknown]>([
      ["a field that is not in the model", { colour: "red" }],
      ["an object field", { counts: { exists: true } }],
      ["a list field", { items: { exists: true } }],
      ["an unknown operator", { kind: { regex: ".*" } }],
      ["an operator of a database", { kind: { $gt: "" } }],
      ["a value of another kind", { at: "10" }],
      ["null", { at: null }],
      ["a list as a value", { kind: ["cup"] }],
      ["mixed kinds in a list", { at: { in: [10, "20"] } }],
      ["has on a field that is not a list", { kind: { has: "c" } }],
      ["equality on a list of strings", { labels: "red" }],
      ["a name of Object.prototype", { toString: "x" }],
    ])("refuses a filter on %s", async (_case, where) => {
      await expect(docs.find({ where: where as Where<Thing> })).rejects.toThrow(/filter/);
      await expect(docs.count(where as Where<Thing>)).rejects.toThrow(/filter/);
    });

    it("refuses an order or a page that it cannot give", async () => {
      await expect(docs.find({ sort: [["counts", 1]] })).rejects.toThrow("sorted");
      await expect(docs.find({ sort: [["at", 2 as 1]] })).rejects.toThrow("sorted");
      await expect(docs.find({ limit: -1 })).rejects.toThrow("limit");
      await expect(docs.find({ skip: 0.5 })).rejects.toThrow("skip");
    });
  });
}
