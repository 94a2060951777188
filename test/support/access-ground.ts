import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { type ObjectChanged, ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import { readConfig } from "#runtime/config.ts";
import type { Principal } from "#runtime/context.ts";
import { type Hosted, hostServices } from "#runtime/host.ts";
import { as, newId } from "#runtime/internal.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import type { Log, Subject } from "#runtime/log.ts";
import { openLogger } from "#runtime/logger.ts";
import type { Doc } from "#runtime/model.ts";
import { openSecrets } from "#runtime/secrets.ts";
import { defineService } from "#runtime/service.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Collection, Store } from "#runtime/store.ts";
import { access } from "../../services/access/service.ts";
import { codes } from "../../services/codes/service.ts";

/** The time at which tests of the access service begin. */
export const NOW = Date.UTC(2026, 10, 24, 12);

/** The access service (and codes, which it asks) over a store and a log in a folder. */
export interface AccessGround extends Pick<Hosted, "client" | "methods"> {
  store: Store;
  /** What was told to the person who started it. */
  said: string[];
  /** Time as handlers see it. */
  clock: { now: number };
  /** Call options in the name of a key: an admin key of the workspace `acme` unless it says otherwise. */
  by: (who?: Partial<Principal>, given?: { ip?: string; requestId?: string }) => ReturnType<typeof as>;
  /** What was announced on a subject so far. */
  changes: (subject: Subject) => Promise<ObjectChanged[]>;
  /** Everything that is on the disk, as bytes. */
  onDisk: () => Buffer;
  /** Stops, leaving the folder. */
  stop: () => Promise<void>;
}

/** A folder of its own for one test. */
export function newFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "waymark-access-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** What codes ask the scans service: how often each was scanned. */
const nothingScanned = defineService({
  name: "nothing-scanned",
  collections: [],
  calls: [],
  publishes: [],
  consumes: [],
  routes: (router) =>
    router.service(IntakeService, { countScans: ({ codeIds }) => ({ totals: codeIds.map(() => 0n) }) }),
});

/** Opens it in a folder, which may hold what an earlier one has left. `life` ends it after so many writes. */
export async function openAccessGround(
  folder: string,
  given: { adminKey?: string; life?: Life } = {},
): Promise<AccessGround> {
  const config = readConfig({ WAYMARK_DATA: folder, WAYMARK_ADMIN_KEY: given.adminKey });
  const models = [...access.collections, ...codes.collections];
  const opened = openSqliteStore({ path: join(folder, "store.db"), models });
  const log = await openSqliteLog({ path: join(folder, "log.db") });
  const store = given.life === undefined ? opened : mortalStore(opened, given.life);
  const said: string[] = [];
  const ground = {
    config,
    store,
    log: given.life === undefined ? log : mortalLog(log, given.life),
    secrets: openSecrets(config),
    logger: openLogger("silent"),
    announce: (_what: string, value: string) => void said.push(value),
  };
  const close = async () => {
    await opened.close();
    await log.close();
  };
  const hosted = await hostServices([access, codes, nothingScanned], ground).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  const clock = { now: NOW };
  const stop = async () => {
    await hosted.stop();
    await close();
  };
  const by: AccessGround["by"] = (who, { ip = "", requestId = "req_1" } = {}) =>
    as({ principal: { ...admin, ...who }, requestId, ip, userAgent: "", newId, now: () => clock.now });
  const changes = (subject: Subject) => readChanges(log, subject);
  return {
    client: hosted.client,
    methods: hosted.methods,
    store,
    said,
    clock,
    by,
    changes,
    onDisk: () => allBytes(folder),
    stop,
  };
}

const admin: Principal = {
  workspace: "acme",
  keyId: "key_1",
  keyName: "test",
  keyClass: "admin",
  scopes: ["admin"],
  test: false,
};

async function readChanges(log: Log, subject: Subject): Promise<ObjectChanged[]> {
  const found: ObjectChanged[] = [];
  for await (const entries of log.read({ after: 0, subjects: [subject] }))
    found.push(...entries.map(({ payload }) => fromBinary(ObjectChangedSchema, payload)));
  return found;
}

function allBytes(folder: string): Buffer {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Buffer.concat(files.map(({ parentPath, name }) => readFileSync(join(parentPath, name))));
}

/** How many writes a process does before it is killed; after that it does nothing at all. */
export interface Life {
  writesLeft: number;
}

/** What a write of a killed process rejects with. */
export class Killed extends Error {
  override name = "Killed";
}

function live(life: Life): void {
  if (life.writesLeft <= 0) throw new Killed();
  life.writesLeft -= 1;
}

const WRITES = ["insert", "update", "bulk", "delete"];

function mortalStore(store: Store, life: Life): Store {
  const dying = (collection: Collection<Doc>) =>
    new Proxy(collection, {
      get: (target, name: string) => {
        const method = target[name as keyof typeof target] as (...args: unknown[]) => unknown;
        if (!WRITES.includes(name)) return method;
        return async (...args: unknown[]) => {
          live(life);
          return method.apply(target, args);
        };
      },
    });
  return {
    ...store,
    collection: ((model: never) => {
      const bound = store.collection(model);
      return { of: (workspace: string) => dying(bound.of(workspace)) };
    }) as Store["collection"],
  };
}

function mortalLog(log: Log, life: Life): Log {
  return {
    ...log,
    append: async (records, batchId) => {
      live(life);
      return log.append(records, batchId);
    },
  };
}
