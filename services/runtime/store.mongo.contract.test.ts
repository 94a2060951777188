import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe } from "vitest";
import { contractModels } from "../../test/contract/store.models.ts";
import { storeContract } from "../../test/contract/store.ts";
import { type MongodbServer, mongodbMissing, startMongodb } from "../../test/support/mongodb-server.ts";
import { openMongoStore } from "./store.mongo.ts";

const missing = await mongodbMissing();

describe.skipIf(missing)("on a MongoDB server", () => {
  let server: MongodbServer;
  beforeAll(async () => {
    server = await startMongodb();
  });
  afterAll(() => server?.stop());

  storeContract("MongoDB", async () => {
    const url = server.url(`contract-${randomUUID()}`);
    let store = await openMongoStore({ url, models: contractModels });
    return {
      store,
      reopen: async () => {
        await store.close();
        store = await openMongoStore({ url, models: contractModels });
        return store;
      },
      close: () => store.close(),
    };
  });
});
