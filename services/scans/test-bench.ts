import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  AuthorityService,
  DeviceIdentitySetting,
  IpSetting,
  PlaceSetting,
  PrivacySchema,
  UserAgentSetting,
} from "#gen/waymark/access/v1/authority_pb.ts";
import { DirectoryService, type TargetSchema, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { ObjectChangedSchema, Purpose, type Touch, TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import { LedgerService } from "#gen/waymark/scans/v1/ledger_pb.ts";
import { RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { readConfig } from "#runtime/config.ts";
import type { Principal } from "#runtime/context.ts";
import { hostServices } from "#runtime/host.ts";
import { as, internalContext } from "#runtime/internal.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import type { Log } from "#runtime/log.ts";
import { openLogger } from "#runtime/logger.ts";
import { poisonModel } from "#runtime/runner/poison.ts";
import { runProjections } from "#runtime/runner.ts";
import { defineService } from "#runtime/service.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import { TOUCH_SUBJECTS } from "#runtime/touches.ts";
import { scansModels } from "./model.ts";
import { scansProjection } from "./project.ts";
import { scans } from "./service.ts";

/** What the neighbours of the service know. Tests change it as they like. */
export interface Neighbours {
  targets: Map<string, MessageInitShape<typeof TargetSchema>>;
  privacy: MessageInitShape<typeof PrivacySchema>;
  /** Calls that they got. */
  asked: { targets: number; settings: number };
}

const neighboursOf = (knows: Neighbours) =>
  defineService({
    name: "neighbours",
    collections: [],
    calls: [],
    publishes: [],
    consumes: [],
    routes: (router) => {
      router.service(DirectoryService, {
        getTargets: ({ codeIds, shortIds }) => {
          knows.asked.targets += 1;
          const targets = [...knows.targets.values()];
          return {
            targets: targets.filter(
              ({ codeId = "", shortId = "" }) => codeIds.includes(codeId) || shortIds.includes(shortId),
            ),
          };
        },
      });
      router.service(AuthorityService, {
        getSettings: () => {
          knows.asked.settings += 1;
          return { timezone: "UTC", privacy: create(PrivacySchema, knows.privacy) };
        },
      });
    },
  });

/** Two marketing codes and a poster. */
function firstTargets(): Neighbours["targets"] {
  const base = { workspaceId: "default", status: TargetStatus.ACTIVE, purpose: Purpose.MARKETING };
  return new Map<string, MessageInitShape<typeof TargetSchema>>([
    ["qpr_1", { ...base, codeId: "qpr_1", shortId: "hc9m3r", metadata: { campaign: "spring", place: "door" } }],
    ["qpr_2", { ...base, codeId: "qpr_2", shortId: "k2x9aa" }],
    ["poster_1", { ...base, codeId: "poster_1", shortId: "p0st3r", purpose: Purpose.AMBASSADOR }],
  ]);
}

/** For tests: the service over a real store and log in a temporary folder, its projection at work, and two small neighbours. */
export async function openBench(wrap: (log: Log) => Log = (log) => log) {
  const folder = await mkdtemp(join(tmpdir(), "scans-"));
  const store = openSqliteStore({ path: join(folder, "store.db"), models: [...scansModels, poisonModel] });
  const log = wrap(await openSqliteLog({ path: join(folder, "log.db") }));
  const alarms: unknown[] = [];
  const startRunner = () =>
    runProjections({
      projections: [scansProjection],
      store,
      log,
      now: Date.now,
      onError: (alarm) => alarms.push(alarm),
    });
  let runner: ReturnType<typeof startRunner> | undefined = startRunner();
  const knows: Neighbours = {
    targets: firstTargets(),
    privacy: {
      ip: IpSetting.TRUNCATED,
      userAgent: UserAgentSetting.FULL,
      place: PlaceSetting.CITY,
      deviceIdentity: DeviceIdentitySetting.STABLE,
      respectGpc: true,
    },
    asked: { targets: 0, settings: 0 },
  };
  const ground = { config: readConfig({}), store, log, announce: () => undefined };
  const secrets = { key: (name: string) => Buffer.alloc(32, name) };
  const hosted = await hostServices([scans, neighboursOf(knows)], { ...ground, secrets, logger: openLogger("silent") });
  const clock = { now: Date.parse("2026-03-20T15:30:00.000Z") };
  return {
    store,
    log,
    knows,
    clock,
    alarms,
    gauges: hosted.gauges,
    scans: hosted.client(ScanService),
    intake: hosted.client(IntakeService),
    ledger: hosted.client(LedgerService),
    registry: hosted.client(RegistryService),
    /** Call options of a caller. */
    by(principal: Partial<Principal> = {}) {
      const context = internalContext("default");
      return as({
        ...context,
        now: () => clock.now,
        principal: { ...context.principal, keyClass: "production", ...principal },
      });
    },
    /** Resolves when everything on the log is counted. */
    async idle() {
      await runner?.idle();
    },
    /** Stops counting, or begins again. */
    async pause() {
      await runner?.stop();
      runner = undefined;
    },
    resume() {
      runner ??= startRunner();
    },
    /** Tells that something has changed, and waits until it must have been heard. */
    async change(subject: "codes.changed" | "workspaces.changed", change: { objectId: string; aliases?: string[] }) {
      const message = create(ObjectChangedSchema, { workspaceId: "default", ...change });
      const payload = toBinary(ObjectChangedSchema, message);
      await log.append([{ subject, key: change.objectId, payload }], `change_${change.objectId}_${Math.random()}`);
    },
    /** All touches on the log. */
    async touches(): Promise<Touch[]> {
      const touches: Touch[] = [];
      for await (const entries of log.read({ after: 0, subjects: TOUCH_SUBJECTS }))
        touches.push(...entries.flatMap(({ payload }) => fromBinary(TouchBatchSchema, payload).touches));
      return touches;
    },
    async close() {
      await hosted.stop();
      await runner?.stop();
      await log.close();
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** What `openBench` gives. */
export type Bench = Awaited<ReturnType<typeof openBench>>;
