import { describe, expect, it } from "vitest";
import { type Bench, things } from "./store.models.ts";

/** Batches and watermarks. */
export function projectionContract({ store, fresh }: Bench): void {
  describe("watermarks", () => {
    it("begin at 0 and move only from where they are", async () => {
      const name = fresh();
      expect(await store().watermark(name)).toBe(0);
      expect(await store().advance(name, 5, 6)).toBe(false);
      expect(await store().advance(name, 0, 5)).toBe(true);
      expect(await store().advance(name, 0, 9)).toBe(false);
      expect(await store().advance(name, 5, 9_007_199_254_740_991)).toBe(true);
      expect(await store().watermark(name)).toBe(9_007_199_254_740_991);
      expect(await store().watermark(fresh())).toBe(0);
    });

    it("let one of many holders move", async () => {
      const name = fresh();
      const moves = await Promise.all(Array.from({ length: 10 }, (_, n) => store().advance(name, 0, n + 1)));
      expect(moves.filter((moved) => moved)).toHaveLength(1);
    });
  });

  describe("steps", () => {
    it("are noted as begun until the watermark moves", async () => {
      const name = fresh();
      expect(await store().progress(name)).toEqual({ done: 0, begun: 0 });
      expect(await store().begin(name, 0, 4)).toBe(true);
      expect(await store().progress(name)).toEqual({ done: 0, begun: 4 });
      expect(await store().watermark(name)).toBe(0);
      expect(await store().advance(name, 0, 4)).toBe(true);
      expect(await store().progress(name)).toEqual({ done: 4, begun: 4 });
      expect(await store().begin(name, 4, 9_007_199_254_740_991)).toBe(true);
      expect(await store().progress(name)).toEqual({ done: 4, begun: 9_007_199_254_740_991 });
    });

    it("begin only at the watermark, and again only as they were", async () => {
      const name = fresh();
      expect(await store().begin(name, 3, 4)).toBe(false);
      expect(await store().begin(name, 0, 4)).toBe(true);
      expect(await store().begin(name, 0, 4)).toBe(true);
      expect(await store().begin(name, 0, 5)).toBe(false);
      expect(await store().begin(name, 0, 3)).toBe(false);
      expect(await store().begin(name, 4, 5)).toBe(false);
      expect(await store().progress(name)).toEqual({ done: 0, begun: 4 });
      await store().advance(name, 0, 4);
      expect(await store().begin(name, 0, 4)).toBe(false);
      expect(await store().begin(name, 4, 5)).toBe(true);
    });

    it("need no beginning to end, and one that was not finished ends with the watermark that moves", async () => {
      const name = fresh();
      expect(await store().advance(name, 0, 2)).toBe(true);
      expect(await store().progress(name)).toEqual({ done: 2, begun: 2 });
      await store().begin(name, 2, 9);
      expect(await store().advance(name, 2, 5)).toBe(true);
      expect(await store().progress(name)).toEqual({ done: 5, begun: 5 });
    });

    it("let one of many beginners begin, and those who want the same", async () => {
      const name = fresh();
      const ends = Array.from({ length: 10 }, (_, n) => 1 + (n % 5));
      const begun = await Promise.all(ends.map((to) => store().begin(name, 0, to)));
      const { begun: to } = await store().progress(name);
      expect(begun).toEqual(ends.map((end) => end === to));
    });
  });

  describe("batch", () => {
    it("gives what run gives, and shows run its own writes", async () => {
      const name = fresh();
      const docs = store().collection(things).of(name);
      const seen = await store().batch(async () => {
        await docs.insert({ id: "a", kind: "cup" });
        await docs.update("a", { inc: { size: 1 } });
        await store().advance(name, 0, 3);
        return [(await docs.get("a"))?.size, await docs.count(), await store().watermark(name)];
      });
      expect(seen).toEqual([1, 1, 3]);
      expect(await docs.count()).toBe(1);
      expect(await store().watermark(name)).toBe(3);
    });

    it("passes on what run throws", async () => {
      const docs = store().collection(things).of(fresh());
      const failed = store().batch(async () => {
        await docs.insert({ id: "a", kind: "cup" });
        throw new Error("stop here");
      });
      await expect(failed).rejects.toThrow("stop here");
      if (store().atomicBatch) expect(await docs.count()).toBe(0);
      expect(await docs.insert({ id: "b", kind: "cup" })).toEqual({ kind: "applied" });
    });

    it("lets other writers write, none lost", async () => {
      const docs = store().collection(things).of(fresh());
      await docs.insert({ id: "a", kind: "cup" });
      const batches = Array.from({ length: 5 }, () =>
        store().batch(async () => {
          for (let n = 0; n < 4; n++) await docs.update("a", { inc: { size: 1 } });
        }),
      );
      const alone = Array.from({ length: 5 }, () => docs.update("a", { inc: { size: 1 } }));
      await Promise.all([...batches, ...alone]);
      expect((await docs.get("a"))?.size).toBe(25);
    });

    it("may be asked for inside a batch", async () => {
      const docs = store().collection(things).of(fresh());
      await store().batch(() => store().batch(() => docs.insert({ id: "a", kind: "cup" })));
      expect(await docs.count()).toBe(1);
    });
  });

  it("answers a ping", async () => {
    await expect(store().ping()).resolves.toBeUndefined();
  });
}
