import { type MessagePort, workerData } from "node:worker_threads";
import { serveStoreWrites } from "#runtime/store/serve.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import { contractModels } from "./store.models.ts";

/** A thread that writes the store for the tests: opens it, answers the port, ends with it. */
const { path, port } = workerData as { path: string; port: MessagePort };
const store = openSqliteStore({ path, models: contractModels });
serveStoreWrites(store, port);
port.on("close", () => void store.close());
port.postMessage([]);
