import { randomUUID } from "node:crypto";
import { createConnection } from "mongoose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { contractModels, type Thing, things } from "../../test/contract/store.models.ts";
import { type MongodbServer, mongodbMissing, startMongodb } from "../../test/support/mongodb-server.ts";
import { models } from "../projections.ts";
import { type TouchDoc, touchModel } from "../scans/model.ts";
import { reasonOf } from "./failure.ts";
import type { Doc, Model } from "./model.ts";
import { testsOf } from "./store/condition.ts";
import { filterOf, sortKeys } from "./store/mongo/filter.ts";
import type { Shelf, Stored } from "./store/mongo/shelf.ts";
import { openMongoStore } from "./store.mongo.ts";
import type { Collection, Outcome, Query, Store, Where, Write } from "./store.ts";

const missing = await mongodbMissing();

describe.skipIf(missing)("several stores on one database", () => {
  let server: MongodbServer;
  let stores: Store[] = [];
  beforeAll(async () => {
    server = await startMongodb();
    const url = server.url(`shared-${randomUUID()}`);
    stores = await Promise.all([1, 2, 3, 4].map(() => openMongoStore({ url, models: contractModels, maxPoolSize: 4 })));
  });
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await server?.stop();
  });
  const shelves = (workspace: string = randomUUID()) => stores.map((store) => store.collection(things).of(workspace));
  const rounds = async (times: number, run: (docs: Collection<Thing>, round: number) => Promise<unknown>) => {
    const workspace = randomUUID();
    const all = shelves(workspace);
    await Promise.all(
      all.map(async (docs) => {
        for (let round = 0; round < times; round++) await run(docs, round);
      }),
    );
    return all[0] as Collection<Thing>;
  };

  it("lose no count and count none twice, whether a document is made or changed", async () => {
    const ids = Array.from({ length: 40 }, (_, n) => `t${n}`);
    const docs = await rounds(15, async (one, round) => {
      const writes = ids.map((id): Write<Thing> => {
        const change = { inc: { size: 1, "counts.US": 2 } };
        return { kind: "update", id, change, upsert: { kind: "cup" } };
      });
      const outcomes = await one.bulk(round % 2 === 0 ? writes : writes.toReversed());
      expect(outcomes.every(({ kind }) => kind === "applied")).toBe(true);
    });
    for (const doc of await docs.find({})) expect(doc).toMatchObject({ size: 60, version: 60, counts: { US: 120 } });
    expect(await docs.count()).toBe(40);
  });

  it("tell each writer of a guarded bulk what became of its writes, exactly", async () => {
    const applied = new Map<string, number>();
    const ids = Array.from({ length: 30 }, (_, n) => `t${n}`);
    const docs = await rounds(12, async (one) => {
      const stored = await one.getMany(ids);
      const writes = ids.map((id): Write<Thing> => {
        const guard = { where: { at: { lt: (stored.get(id)?.at ?? 0) + 1 } } };
        return { kind: "update", id, change: { inc: { at: 1 } }, guard, upsert: { kind: "cup" } };
      });
      (await one.bulk(writes)).forEach(({ kind }, index) => {
        const id = ids[index] as string;
        if (kind === "applied") applied.set(id, (applied.get(id) ?? 0) + 1);
        else expect(kind).toBe("unmet");
      });
    });
    for (const { id, at } of await docs.find({})) expect([id, at]).toEqual([id, applied.get(id)]);
  });

  it("let one of many with the same version win, in a bulk as alone", async () => {
    const all = shelves();
    const ids = Array.from({ length: 50 }, (_, n) => `t${n}`);
    await all[0]?.bulk(ids.map((id) => ({ kind: "insert", doc: { id, kind: "cup" } })));
    const move = { change: { inc: { size: 1 } }, guard: { version: 1 } };
    const outcomes: Outcome<Thing>[][] = await Promise.all(
      all.map((docs) => docs.bulk(ids.map((id) => ({ kind: "update", id, ...move })))),
    );
    ids.forEach((_, index) => {
      expect(outcomes.map((one) => one[index]?.kind).sort()).toEqual(["applied", "unmet", "unmet", "unmet"]);
    });
    const alone = await Promise.all(all.map((docs) => docs.update("t0", { inc: { size: 1 } }, { version: 2 })));
    expect(alone.filter((doc) => doc !== undefined)).toHaveLength(1);
  });

  it("give a place in a unique index to one of many", async () => {
    const all = shelves();
    const outcomes = await Promise.all(
      all.flatMap((docs, n) => [
        docs.insert({ id: `i${n}`, kind: "cup", owner: "ada", slug: "s" }),
        docs.bulk([
          {
            kind: "update",
            id: `u${n}`,
            change: { set: { slug: "s" } },
            upsert: { kind: "cup", owner: "ada" },
          },
        ]),
      ]),
    );
    const kinds = outcomes.flat().map((outcome) => (outcome.kind === "conflict" ? outcome.index : outcome.kind));
    expect(kinds.sort()).toEqual(["applied", ...Array.from({ length: 7 }, () => "owner_slug")]);
    expect(await all[0]?.count()).toBe(1);
  });

  it("move a watermark once, and note one step", async () => {
    const name = randomUUID();
    const begun = await Promise.all(stores.map((store, n) => store.begin(name, 0, n + 5)));
    expect(begun.filter((isBegun) => isBegun)).toHaveLength(1);
    const { begun: to } = await (stores[0] as Store).progress(name);
    expect(await (stores[1] as Store).begin(name, 0, to)).toBe(true);
    expect((await Promise.all(stores.map((store) => store.advance(name, 0, to)))).filter(Boolean)).toHaveLength(1);
    expect(await (stores[2] as Store).progress(name)).toEqual({ done: to, begun: to });
    expect(await (stores[3] as Store).begin(name, 0, to + 1)).toBe(false);
  });
});

/** Touches of fifty codes, one after the other. */
function touch(n: number): TouchDoc {
  const talk = { started: false, messages: 0 };
  const where = { wall: "marketing", shelf: "marketing/h", codeId: `c${n % 50}`, device: 1 };
  return { id: `t${n}`, ...where, scannedAt: n, position: n, ...talk };
}

describe.skipIf(missing)("indexes", () => {
  let server: MongodbServer;
  beforeAll(async () => {
    server = await startMongodb();
  });
  afterAll(() => server?.stop());

  it("are made for all models of all services, by several processes at once, and once", async () => {
    const url = server.url(`models-${randomUUID()}`);
    const stores = await Promise.all([1, 2, 3].map(() => openMongoStore({ url, models })));
    await Promise.all(stores.map((store) => store.close()));
    const connection = await createConnection(url).asPromise();
    for (const model of models) {
      const found = await connection.collection(model.name).indexes();
      expect(found.map(({ name }) => name).sort()).toEqual(["_id_", ...model.indexes.map(({ name }) => name)].sort());
    }
    await connection.close();
  });

  it("are replaced when a model asks for another of the same name", async () => {
    const url = server.url(`change-${randomUUID()}`);
    const open = async (model: Model<Doc>) => (await openMongoStore({ url, models: [model] })).close();
    await open(things);
    await open({ ...things, indexes: [{ name: "kind_at", fields: ["kind", "size"] }] });
    const connection = await createConnection(url).asPromise();
    const found = await connection.collection(things.name).indexes();
    expect(found.find(({ name }) => name === "kind_at")?.key).toEqual({ _w: 1, kind: 1, size: 1, _id: 1 });
    await connection.close();
  });

  it("that cannot be unique stop the start with a sentence", async () => {
    const url = server.url(`unique-${randomUUID()}`);
    const store = await openMongoStore({ url, models: contractModels });
    const docs = store.collection(things).of("w");
    await docs.bulk(["a", "b"].map((id) => ({ kind: "insert", doc: { id, kind: "cup" } })));
    await store.close();
    const indexes = [{ name: "kind", fields: ["kind"], unique: true }];
    const opening = openMongoStore({ url, models: [{ ...things, indexes }] });
    await expect(opening).rejects.toThrow(
      "contract.things: the index kind cannot be unique, documents share its fields",
    );
  });

  it.each<[string, Where<TouchDoc>, Query<TouchDoc>["sort"]]>([
    ["by_time", { shelf: "marketing/h", scannedAt: { gte: 5 } }, [["scannedAt", -1]]],
    ["by_code", { codeId: "c7", shelf: "marketing/h" }, [["scannedAt", -1]]],
    ["_id_", { position: { gt: 3 } }, undefined],
  ])("serve what is asked most: %s", async (index, where, sort) => {
    const url = server.url(`plans-${randomUUID()}`);
    const store = await openMongoStore({ url, models: [touchModel] });
    const docs = store.collection(touchModel).of("w");
    await docs.bulk(Array.from({ length: 2_000 }, (_, n) => ({ kind: "insert", doc: touch(n) })));
    await store.close();
    const connection = await createConnection(url).asPromise();
    const collection = connection.getClient().db(connection.name).collection<Stored>(touchModel.name);
    const shelf = { model: touchModel as Model<Doc>, workspace: "w", prefix: "w/" } as Shelf;
    const filter = filterOf(shelf, testsOf(shelf.model, where as Where<Doc>), sort as Query<Doc>["sort"]);
    const order = Object.fromEntries(
      sortKeys(shelf, sort as Query<Doc>["sort"]).map((key) => [key.name, key.direction]),
    );
    const plan = JSON.stringify(await collection.find(filter, { sort: order, limit: 50 }).explain());
    expect(plan).toMatch(new RegExp(`"(Index Name|indexName)":"${index}"`));
    expect(plan).not.toMatch(/"(Seq Scan|COLLSCAN)"/);
    await connection.close();
  });

  it.each([
    ["a name that is not one", { name: "Tags" }, "is not a name for a collection"],
    ["a field that the store needs", { fields: { _id: { kind: "string" as const } } }, "_id is not a name for a field"],
    ["an index over JSON", { indexes: [{ name: "x", fields: ["counts"] }] }, "names counts, which is object"],
  ])("refuses a model with %s", async (_case, part, message) => {
    const model = { ...things, ...part } as Model<Doc>;
    await expect(openMongoStore({ url: server.url("refused"), models: [model] })).rejects.toThrow(message);
  });

  it("says that an address is none", async () => {
    const opening = openMongoStore({ url: "http://ada:secret@db/x", models: contractModels });
    await expect(opening).rejects.toThrow("WAYMARK_MONGODB_URL is not an address of MongoDB");
  });

  it("says that the store is not there when it is not", async () => {
    const opening = openMongoStore({ url: "mongodb://127.0.0.1:1/x", models: contractModels });
    const error = await opening.catch((caught: unknown) => caught);
    expect(reasonOf(error)).toMatchObject({ domain: "store.waymark", reason: "STORE_UNAVAILABLE" });
  });
});
