import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescService, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client, ConnectError } from "@connectrpc/connect";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService, type TouchInput, type TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { readConfig } from "#runtime/config.ts";
import { contextOf, type Principal } from "#runtime/context.ts";
import { reasonOf } from "#runtime/failure.ts";
import { hostServices } from "#runtime/host.ts";
import { as, internalContext, newId } from "#runtime/internal.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import type { Log } from "#runtime/log.ts";
import { openLogger } from "#runtime/logger.ts";
import { poisonModel } from "#runtime/runner/poison.ts";
import { runProjections } from "#runtime/runner.ts";
import { openSecrets } from "#runtime/secrets.ts";
import { defineService, type ServiceDefinition } from "#runtime/service.ts";
import { openSqliteStore, type SqliteStore } from "#runtime/store.sqlite.ts";
import { subjectOf, TOUCH_SUBJECTS, type TouchPurpose } from "#runtime/touches.ts";
import type { TagDoc } from "../../services/tags/model.ts";

/** What the services around were told. */
export interface Told {
  touches: (TouchInput & { workspace: string; test: boolean })[];
  audit: { workspace: string; actor: string; action: string; object: string }[];
}

/** Services over a real store and log in a folder of their own, for tests. Intake and authority only write down. */
export interface TagGround {
  client: <S extends DescService>(service: S) => Client<S>;
  store: SqliteStore;
  log: Log;
  told: Told;
  /** How intake behaves: it records, refuses, or never answers. */
  intake: { mode: "records" | "refuses" | "hangs" };
  /** The time that the next look at the clock tells; each look moves it on by 1 ms. */
  clock: { now: number };
  /** Call options of a key of the workspace. */
  key: (workspace?: string, principal?: Partial<Principal>) => CallOptions;
  /** Call options of a person without a key. */
  anyone: (from?: { ip?: string; userAgent?: string; method?: string }) => CallOptions;
  /** Runs the projections up to the head of the log. */
  project: () => Promise<void>;
  /** Every byte that is stored, keys apart. */
  stored: () => Buffer;
  close: () => Promise<void>;
}

/** Makes a call fail and gives its code, sentence, reason and facts; all undefined when it does not fail. */
export async function refusal(call: Promise<unknown>) {
  const error: unknown = await call.then(
    () => undefined,
    (cause) => cause,
  );
  const refused = error instanceof ConnectError ? error : undefined;
  const { reason, metadata: facts } = reasonOf(error) ?? {};
  return { code: refused?.code, message: refused?.rawMessage, reason, facts };
}

/** Opens services in a new folder. */
export async function openTagGround(services: readonly ServiceDefinition[]): Promise<TagGround> {
  const folder = mkdtempSync(join(tmpdir(), "waymark-tags-"));
  const config = readConfig({ WAYMARK_DATA: folder, WAYMARK_PUBLIC_URL: "https://tags.example" });
  const models = [...services.flatMap(({ collections }) => collections), poisonModel];
  const store = openSqliteStore({ path: join(folder, "store.db"), models });
  const log = await openSqliteLog({ path: join(folder, "log.db") });
  const told: Told = { touches: [], audit: [] };
  const intake: TagGround["intake"] = { mode: "records" };
  const clock = { now: Date.parse("2025-06-01T15:30:00Z") };
  const ground = { config, store, log, secrets: openSecrets(config), logger: openLogger("silent"), announce: () => {} };
  const hosted = await hostServices([...services, surroundings({ told, intake, log })], ground);
  const time = { now: () => clock.now++, newId };
  return {
    client: hosted.client,
    store,
    log,
    told,
    intake,
    clock,
    key: (workspace = "default", principal = {}) => {
      const context = internalContext(workspace);
      const owner = { ...context.principal, keyId: "key_1", keyName: "Owner", keyClass: "production" as const };
      return as({ ...context, ...time, principal: { ...owner, ...principal } });
    },
    anyone: (from = {}) => {
      const principal = { ...internalContext("").principal, keyClass: "anonymous" as const, scopes: [] };
      return as({ ...internalContext("", from), ...time, method: from.method, principal });
    },
    project: async () => {
      const projections = services.flatMap((service) => service.projections ?? []);
      const runner = runProjections({ projections, store, log, now: () => clock.now });
      await runner.idle();
      await runner.stop();
    },
    stored: () => {
      const files = readdirSync(folder).filter((name) => /\.db(-wal)?$/.test(name));
      return Buffer.concat(files.map((name) => readFileSync(join(folder, name))));
    },
    close: async () => {
      await hosted.stop();
      await store.close();
      await log.close();
      rmSync(folder, { recursive: true });
    },
  };
}

type Around = Pick<TagGround, "told" | "intake" | "log">;

function surroundings(around: Around): ServiceDefinition {
  return defineService({
    name: "surroundings",
    collections: [],
    calls: [],
    publishes: TOUCH_SUBJECTS,
    consumes: [],
    routes: (router) => {
      router.service(IntakeService, {
        recordTouches: async ({ touches }, handler) => {
          const { workspace, test } = contextOf(handler).principal;
          around.told.touches.push(...touches.map((touch) => ({ ...touch, workspace, test })));
          if (around.intake.mode === "refuses") throw new Error("the queue is full");
          if (around.intake.mode === "hangs") await new Promise(() => {});
          const ids = touches.map((touch) => touch.id || newId("touch"));
          await record(around.log, { touches, ids, workspace, test, at: contextOf(handler).now() });
          return { accepted: ids.length, ids };
        },
      });
      router.service(AuthorityService, {
        appendAudit: ({ items }, handler) => {
          const { workspace, keyName: actor } = contextOf(handler).principal;
          around.told.audit.push(...items.map(({ action, object }) => ({ workspace, actor, action, object })));
          return {};
        },
      });
    },
  });
}

interface Recording {
  touches: readonly MessageInitShape<typeof TouchInputSchema>[];
  ids: readonly string[];
  workspace: string;
  test: boolean;
  at: number;
}

/** Appends touches to the log as intake does, with a HEAD as a program's. */
export async function record(log: Log, { touches, ids, workspace, test, at }: Recording): Promise<number> {
  const recorded = touches.map((touch, index) => ({
    id: ids[index] as string,
    workspaceId: workspace,
    purpose: touch.purpose,
    codeId: touch.codeId,
    scannedAt: timestampFromMs(at),
    verdict: touch.method === "HEAD" ? Verdict.BOT : Verdict.HUMAN,
    place: touch.place ?? { country: "US", region: "OR", city: "Portland" },
    test,
  }));
  const byPurpose = Map.groupBy(recorded, ({ purpose }) => purpose as TouchPurpose);
  const records = [...byPurpose].map(([purpose, list]) => ({
    subject: subjectOf[purpose],
    key: list[0]?.codeId ?? "",
    payload: toBinary(TouchBatchSchema, create(TouchBatchSchema, { touches: list })),
  }));
  return log.append(records, newId("batch"));
}

/** A tag as stored. */
export function tagDoc(given: Partial<TagDoc> = {}): TagDoc {
  return {
    id: "tag_abc123",
    encryptedId: "x",
    itemName: "House Keys",
    ownerName: "Jane",
    tagType: "GENERAL",
    status: "ACTIVE",
    statusSince: 0,
    photos: [],
    contactEnabled: true,
    isPrivate: false,
    emergencyAvailable: false,
    test: false,
    createdAt: 0,
    updatedAt: 0,
    ...given,
  };
}
