import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe } from "vitest";
import type { Store } from "#runtime/store.ts";
import { bulkContract } from "./store.bulk.ts";
import { findContract } from "./store.find.ts";
import { insertContract } from "./store.insert.ts";
import type { Bench, Opened } from "./store.models.ts";
import { projectionContract } from "./store.projection.ts";
import { randomContract } from "./store.random.ts";
import { streamContract } from "./store.stream.ts";
import { updateContract } from "./store.update.ts";

/** What every engine of the Store port must do. The engine is opened with `contractModels`. */
export function storeContract(name: string, open: () => Promise<Opened>): void {
  describe(`the store contract on ${name}`, () => {
    let opened: Opened;
    let store: Store;
    beforeAll(async () => {
      opened = await open();
      store = opened.store;
    });
    afterAll(() => opened.close());
    const bench: Bench = {
      store: () => store,
      reopen: async () => {
        store = await opened.reopen();
      },
      fresh: () => randomUUID(),
    };
    insertContract(bench);
    findContract(bench);
    updateContract(bench);
    bulkContract(bench);
    streamContract(bench);
    projectionContract(bench);
    randomContract(bench);
  });
}
