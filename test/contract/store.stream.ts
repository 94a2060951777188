import { describe, expect, it } from "vitest";
import type { Collection, Query, Write } from "#runtime/store.ts";
import { memoryShelf } from "./store.memory.ts";
import { type Bench, type Thing, things } from "./store.models.ts";

/** Reading more than a page. */
export function streamContract({ store, fresh }: Bench): void {
  const shelf = async (count: number, make: (n: number) => Partial<Thing>) => {
    const docs = store().collection(things).of(fresh());
    const writes = Array.from({ length: count }, (_, n): Write<Thing> => {
      const doc = { id: `t${String(n).padStart(5, "0")}`, kind: "cup", ...make(n) };
      return { kind: "insert", doc };
    });
    await docs.bulk(writes);
    return Object.assign(docs, { writes });
  };
  const gather = async (docs: Collection<Thing>, query: Query<Thing>) => {
    const ids: string[] = [];
    for await (const chunk of docs.stream(query)) {
      expect(chunk.length).toBeGreaterThan(0);
      for (const { id } of chunk) ids.push(id);
    }
    return ids;
  };

  describe("stream", () => {
    it.each<[string, Query<Thing>]>([
      ["by id", {}],
      ["by id downwards", { sort: [["id", -1]] }],
      ["by an indexed field with many ties and gaps", { where: { kind: "cup" }, sort: [["at", 1]] }],
      ["the same downwards", { where: { kind: "cup" }, sort: [["at", -1]] }],
      [
        "by two fields, a boolean among them",
        {
          sort: [
            ["live", -1],
            ["size", -1],
          ],
        },
      ],
      ["by a field without index", { sort: [["note", 1]] }],
      ["with limit and skip", { where: { kind: "cup" }, sort: [["at", -1]], limit: 1_201, skip: 333 }],
      ["one of several, sorted", { where: { at: { in: [1, 2, 3] } }, sort: [["at", 1]] }],
      [
        "one of several, sorted by another",
        { where: { kind: { in: ["cup", "cap", "no", "cup"] } }, sort: [["at", -1]] },
      ],
      ["a page of that", { where: { kind: { in: ["cup", "cap"] } }, sort: [["at", 1]], limit: 900, skip: 100 }],
      ["a far page of that", { where: { kind: { in: ["cup", "cap"] } }, sort: [["at", 1]], limit: 20, skip: 901 }],
    ])("gives all that find gives, in order: %s", async (_case, query) => {
      const docs = await shelf(2_100, (n) => ({
        kind: n % 3 === 0 ? "cap" : n % 50 === 1 ? "cop" : "cup",
        at: n % 5 === 4 ? undefined : n % 4,
        size: n % 3,
        live: n % 7 === 6 ? undefined : n % 2 === 0,
        note: n % 11 === 0 ? undefined : `${n % 13}`,
      }));
      const plain = memoryShelf();
      for (const write of docs.writes) plain.write(write);
      const expected = plain.find(query).map(({ id }) => id);
      expect(await gather(docs, query)).toEqual(expected);
      expect((await docs.find(query)).map(({ id }) => id)).toEqual(expected);
    });

    it("ends at once when nothing matches", async () => {
      expect(await gather(await shelf(3, () => ({})), { where: { kind: "none" } })).toEqual([]);
    });

    it("can be left early, and the store goes on", async () => {
      const docs = await shelf(1_200, () => ({}));
      for await (const chunk of docs.stream({})) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      expect(await docs.insert({ id: "new", kind: "cup" })).toEqual({ kind: "applied" });
    });

    it("shows no document twice and none of the untouched too few while others are written", async () => {
      const docs = await shelf(1_600, (n) => ({ at: n }));
      const ids: string[] = [];
      let chunks = 0;
      for await (const chunk of docs.stream({ where: { kind: "cup" }, sort: [["at", 1]] })) {
        for (const { id } of chunk) ids.push(id);
        chunks += 1;
        const moved = ids.slice(-5).map((id, n) => ({
          kind: "update" as const,
          id,
          change: { set: { at: 10_000 + chunks * 10 + n } },
        }));
        await docs.bulk(moved);
        await docs.insert({ id: `a-new-${chunks}`, kind: "cup", at: -1 });
      }
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.filter((id) => id.startsWith("t"))).toHaveLength(1_600);
    });
  });
}
