import { describe, expect, it } from "vitest";
import { type Bench, others, type Thing, things } from "./store.models.ts";

/** Inserting, getting, deleting, and what the model refuses. */
export function insertContract({ store, reopen, fresh }: Bench): void {
  const fill = () => store().collection(things).of(fresh());

  describe("insert", () => {
    it("keeps a document with every kind of field, under version 1", async () => {
      const docs = fill();
      const thing: Thing = {
        id: "a",
        kind: "cup 杯 \u{1F600} \"'\\",
        at: 1_790_000_000_123,
        size: -1.5,
        live: false,
        owner: "ada",
        slug: "s",
        note: "",
        labels: ["x", "y"],
        counts: { US: 1, deep: { er: [1, { x: null }] }, __proto__x: 2, "with space": true },
        items: [1, "two", { three: [3] }, null],
      };
      expect(await docs.insert(thing)).toEqual({ kind: "applied" });
      expect(await docs.get("a")).toEqual({ ...thing, version: 1 });
    });

    it("takes names and ids from outside for what they are, whatever a database or its driver uses them for", async () => {
      const docs = fill();
      const counts = JSON.parse(
        `{"a.b":1,"$set":{"$ref":"x","$id":"y"},"":2,"%2E":3,"_bsontype":"ObjectId","_id":4,"nul\\u0000":-0.5,
          "__proto__":{"list":[{"x.y":null}]}}`,
      ) as Record<string, unknown>;
      const thing: Thing = { id: "$a.b/%2F", kind: "cup", counts, items: [counts], size: 0, labels: [] };
      await docs.insert(thing);
      expect(JSON.stringify((await docs.get(thing.id))?.counts)).toBe(JSON.stringify(counts));
      expect(JSON.stringify((await docs.get(thing.id))?.items)).toBe(JSON.stringify([counts]));
      expect((await docs.find({ where: { id: { gte: "$a.b/" } } })).map(({ id }) => id)).toEqual([thing.id]);
    });

    it("gives defaults to a new document that lacks them, and only then", async () => {
      const docs = fill();
      await docs.insert({ id: "a", kind: "cup" });
      await docs.insert({ id: "b", kind: "cup", size: 7, labels: [] });
      expect(await docs.get("a")).toEqual({ id: "a", version: 1, kind: "cup", size: 0, labels: ["new"] });
      expect(await docs.get("b")).toEqual({ id: "b", version: 1, kind: "cup", size: 7, labels: [] });
    });

    it("takes undefined for absent", async () => {
      const docs = fill();
      await docs.insert({ id: "a", kind: "cup", note: undefined });
      expect(await docs.get("a")).not.toHaveProperty("note");
      expect(await docs.count({ note: { exists: false } })).toBe(1);
    });

    it("does not overwrite: the same id again changes nothing and shows what is there", async () => {
      const docs = fill();
      await docs.insert({ id: "a", kind: "cup", size: 1 });
      const again = await docs.insert({ id: "a", kind: "plate", size: 2 });
      expect(again).toEqual({ kind: "exists", doc: { id: "a", version: 1, kind: "cup", size: 1, labels: ["new"] } });
      expect((await docs.get("a"))?.kind).toBe("cup");
    });

    it("names the unique index that stands against a document", async () => {
      const docs = fill();
      await docs.insert({ id: "a", kind: "cup", owner: "ada", slug: "s" });
      expect(await docs.insert({ id: "b", kind: "cup", owner: "ada", slug: "s" })).toEqual({
        kind: "conflict",
        index: "owner_slug",
      });
      expect(await docs.get("b")).toBeUndefined();
      expect(await docs.insert({ id: "c", kind: "cup", owner: "bob", slug: "s" })).toEqual({ kind: "applied" });
    });

    it("says exists, not conflict, when both the id and a unique index are met", async () => {
      const docs = fill();
      await docs.insert({ id: "a", kind: "cup", owner: "ada", slug: "s" });
      expect(await docs.insert({ id: "a", kind: "cup", owner: "ada", slug: "s" })).toMatchObject({ kind: "exists" });
    });

    it("holds a unique index only over documents that have all of its fields", async () => {
      const docs = fill();
      await docs.insert({ id: "a", kind: "cup", owner: "ada" });
      expect(await docs.insert({ id: "b", kind: "cup", owner: "ada" })).toEqual({ kind: "applied" });
    });

    it("frees the place in a unique index when the document goes", async () => {
      const docs = fill();
      await docs.insert({ id: "a", kind: "cup", owner: "ada", slug: "s" });
      await docs.delete("a");
      expect(await docs.insert({ id: "b", kind: "cup", owner: "ada", slug: "s" })).toEqual({ kind: "applied" });
    });

    it("lets one of many concurrent inserts of an id win", async () => {
      const docs = fill();
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, size) => docs.insert({ id: "a", kind: "cup", size })),
      );
      expect(outcomes.filter(({ kind }) => kind === "applied")).toHaveLength(1);
      expect(outcomes.filter(({ kind }) => kind === "exists")).toHaveLength(19);
    });
  });

  describe("what the model refuses", () => {
    it.each<[string, unknown, string]>([
      ["an undeclared field", { id: "a", kind: "cup", colour: "red" }, "colour is not in the model"],
      ["a missing required field", { id: "a" }, "kind is required"],
      ["null for a required field", { id: "a", kind: null }, "kind is required"],
      ["a number for a string", { id: "a", kind: 1 }, "kind must be a string"],
      ["a string for a number", { id: "a", kind: "cup", at: "1" }, "at must be a finite number"],
      ["not-a-number", { id: "a", kind: "cup", at: Number.NaN }, "at must be a finite number"],
      ["a date for a number", { id: "a", kind: "cup", at: new Date(0) }, "at must be a finite number"],
      ["a number for a boolean", { id: "a", kind: "cup", live: 1 }, "live must be true or false"],
      ["numbers among strings", { id: "a", kind: "cup", labels: [1] }, "labels must be a list of strings"],
      ["a list for an object", { id: "a", kind: "cup", counts: [] }, "counts must be an object"],
      ["an object for a list", { id: "a", kind: "cup", items: {} }, "items must be a list"],
      ["a document without id", { kind: "cup" }, "needs an id"],
      ["an empty id", { id: "", kind: "cup" }, "needs an id"],
      ["a name of Object.prototype", { id: "a", kind: "cup", toString: "x" }, "toString is not in the model"],
    ])("refuses %s", async (_case, doc, message) => {
      const docs = fill();
      await expect(docs.insert(doc as Thing)).rejects.toThrow(message);
      expect(await docs.count()).toBe(0);
    });

    it("refuses a collection that the store was not opened with, and an empty workspace", () => {
      const stranger = { ...others, name: "contract.strangers" };
      expect(() => store().collection(stranger)).toThrow("contract.strangers");
      expect(() => store().collection(others).of("")).toThrow("workspace");
    });
  });

  describe("get and delete", () => {
    it("gets nothing for an id that is not there", async () => {
      expect(await fill().get("a")).toBeUndefined();
    });

    it("gets many by id, each once, leaving out what is missing", async () => {
      const docs = fill();
      await docs.bulk(["a", "b", "c"].map((id) => ({ kind: "insert", doc: { id, kind: "cup" } })));
      const found = await docs.getMany(["c", "x", "a", "c"]);
      expect([...found.keys()].sort()).toEqual(["a", "c"]);
      expect(found.get("c")?.id).toBe("c");
      expect((await docs.getMany([])).size).toBe(0);
    });

    it("gets more by id than a page holds", async () => {
      const docs = fill();
      const ids = Array.from({ length: 1_203 }, (_, n) => `t${n}`);
      await docs.bulk(ids.map((id) => ({ kind: "insert", doc: { id, kind: "cup" } })));
      expect((await docs.getMany(ids)).size).toBe(1_203);
    });

    it("deletes once", async () => {
      const docs = fill();
      await docs.insert({ id: "a", kind: "cup" });
      expect(await docs.delete("a")).toBe(true);
      expect(await docs.delete("a")).toBe(false);
      expect(await docs.get("a")).toBeUndefined();
    });

    it("hands out copies: what a caller does to one reaches nobody", async () => {
      const docs = fill();
      const counts = { US: 1 };
      await docs.insert({ id: "a", kind: "cup", counts });
      counts.US = 9;
      const got = await docs.get("a");
      if (got?.counts) got.counts.US = 8;
      expect((await docs.get("a"))?.counts).toEqual({ US: 1 });
    });

    it("keeps collections and workspaces apart", async () => {
      const [one, two] = [fresh(), fresh()];
      await store().collection(things).of(one).insert({ id: "a", kind: "cup", owner: "ada", slug: "s" });
      const second = store().collection(things).of(two);
      expect(await second.get("a")).toBeUndefined();
      expect(await second.insert({ id: "a", kind: "plate", owner: "ada", slug: "s" })).toEqual({ kind: "applied" });
      expect(await store().collection(others).of(one).get("a")).toBeUndefined();
      await second.delete("a");
      expect((await store().collection(things).of(one).get("a"))?.kind).toBe("cup");
    });

    it("keeps workspaces apart whose names look alike", async () => {
      const name = fresh();
      const names = [name, `${name}/a`, `${name}%2Fa`, `${name}0`];
      for (const kind of names) await store().collection(things).of(kind).insert({ id: "a/b", kind });
      for (const kind of names)
        expect(await store().collection(things).of(kind).find({})).toMatchObject([{ id: "a/b", kind }]);
    });

    it("keeps everything when it is closed and opened again", async () => {
      const workspace = fresh();
      await store()
        .collection(things)
        .of(workspace)
        .insert({ id: "a", kind: "cup", at: 5, counts: { US: 1 } });
      await store()
        .collection(things)
        .of(workspace)
        .update("a", { inc: { "counts.US": 1 } });
      await store().advance(workspace, 0, 17);
      const before = await store().collection(things).of(workspace).get("a");
      await reopen();
      expect(await store().collection(things).of(workspace).get("a")).toEqual(before);
      expect(
        await store()
          .collection(things)
          .of(workspace)
          .count({ kind: "cup", at: { gte: 5 } }),
      ).toBe(1);
      expect(await store().watermark(workspace)).toBe(17);
    });
  });
}
