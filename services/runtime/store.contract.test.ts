import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel } from "node:worker_threads";
import { contractModels, type Opened } from "../../test/contract/store.models.ts";
import { storeContract } from "../../test/contract/store.ts";
import { openRemoteStore } from "./store/remote.ts";
import { serveStoreWrites } from "./store/serve.ts";
import { openSqliteStore } from "./store.sqlite.ts";
import type { Store } from "./store.ts";

storeContract("SQLite in one thread", () => inFolder((path) => openSqliteStore({ path, models: contractModels })));
storeContract("SQLite with a connection that only reads and a port to the writer", () => inFolder(openPair));

async function inFolder(open: (path: string) => Store): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-store-"));
  let store = open(join(folder, "store.db"));
  return {
    store,
    reopen: async () => {
      await store.close();
      store = open(join(folder, "store.db"));
      return store;
    },
    close: async () => {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

function openPair(path: string): Store {
  const writer = openSqliteStore({ path, models: contractModels });
  const { port1, port2 } = new MessageChannel();
  serveStoreWrites(writer, port2);
  const remote = openRemoteStore({ path, models: contractModels, port: port1 });
  return {
    ...remote,
    close: async () => {
      await remote.close();
      await writer.close();
    },
  };
}
