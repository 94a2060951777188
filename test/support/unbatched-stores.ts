import { randomUUID } from "node:crypto";
import type { Doc, Model } from "#runtime/model.ts";
import { openMongoStore } from "#runtime/store.mongo.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";
import { unbatched } from "./faults.ts";
import { mongodbMissing, startMongodb } from "./mongodb-server.ts";

/** An engine whose steps are no transactions. */
export interface UnbatchedEngine {
  name: string;
  missing: boolean;
  /** How often a property is tried on it. */
  numRuns: number;
  start: () => Promise<UnbatchedServer>;
}

/** It at work. */
export interface UnbatchedServer {
  /** An empty store. */
  open: (models: readonly Model<Doc>[]) => Promise<Store>;
  stop: () => Promise<void>;
}

/** For `describe.each`: SQLite with its transactions taken away, and MongoDB where there is a server. */
export const unbatchedEngines: readonly UnbatchedEngine[] = [
  {
    name: "SQLite without transactions",
    missing: false,
    numRuns: 60,
    start: async () => ({
      open: async (models) => unbatched(openSqliteStore({ path: ":memory:", models })),
      stop: async () => undefined,
    }),
  },
  {
    name: "MongoDB",
    missing: await mongodbMissing(),
    numRuns: 8,
    start: async () => {
      const server = await startMongodb();
      return {
        open: (models) => openMongoStore({ url: server.url(`test-${randomUUID()}`), models }),
        stop: server.stop,
      };
    },
  },
];
