import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CallOptions, Client, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "#gen/google/rpc/error_details_pb.ts";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { AnalyticsService } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { DirectoryService, type Target } from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose, type Touch, TouchBatchSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { readConfig } from "#runtime/config.ts";
import { contextOf, type Principal } from "#runtime/context.ts";
import { hostServices } from "#runtime/host.ts";
import { as, internalContext } from "#runtime/internal.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import type { Log, LogRecord } from "#runtime/log.ts";
import { openLogger } from "#runtime/logger.ts";
import { openSecrets } from "#runtime/secrets.ts";
import { defineService, type ServiceDeps } from "#runtime/service.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";
import { subjectOf, TOUCH_SUBJECTS, type TouchPurpose } from "#runtime/touches.ts";
import { FEED_SUBJECTS } from "./feed/changes.ts";
import { analyticsModels } from "./model.ts";
import { decideLike, judgeLike, TEST_RULES } from "./revisions/test-judge.ts";
import { analytics } from "./service.ts";

/** The time on which tests stand. */
export const NOW = Date.parse("2026-11-20T12:00:00.000Z");

/** Base of the addresses that tests see. */
export const PUBLIC_URL = "https://qr.example";

/** What the registry next door does, and what it was asked. */
export interface RegistryStandIn {
  /** It is complete up to here and no further. */
  until: number;
  isDown: boolean;
  /** How many ids each question had. */
  asked: number[];
}

/** The analytics service in this process over a real log, with small neighbours. */
export interface AnalyticsGround {
  log: Log;
  api: Client<typeof AnalyticsService>;
  /** A client of any service of this process. */
  client: ServiceDeps["client"];
  store: Store;
  registry: RegistryStandIn;
  /** Codes as their service knows them. */
  targets: Target[];
  /** How many days workspaces keep events, where not for good. */
  scansDays: Map<string, number>;
  /** Appends one entry of touches of one purpose; its position. */
  append: (touches: readonly Touch[], recordedAt?: number) => Promise<number>;
  /** Resolves when all that is on the log can be asked for. */
  settle: () => Promise<void>;
  gauges: () => Readonly<Record<string, number>>;
  /** Time as handlers see it. */
  clock: { now: number };
  /** Call options in the name of a key. */
  by: (who?: Partial<Principal>) => CallOptions;
  close: () => Promise<void>;
}

/** Opens the service in a folder; a folder that was given stays when it is closed. */
export async function openAnalyticsGround(given?: { folder: string }): Promise<AnalyticsGround> {
  const folder = given?.folder ?? mkdtempSync(join(tmpdir(), "waymark-analytics-"));
  const config = readConfig({ WAYMARK_DATA: folder, WAYMARK_PUBLIC_URL: PUBLIC_URL });
  const log = await openSqliteLog({ path: join(folder, "log.db") });
  const store = openSqliteStore({ path: join(folder, "store.db"), models: analyticsModels });
  const registry: RegistryStandIn = { until: Number.POSITIVE_INFINITY, isDown: false, asked: [] };
  const targets: Target[] = [];
  const scansDays = new Map<string, number>();
  const clock = { now: NOW };
  const logger = openLogger("silent");
  const ground = { config, store, log, logger, secrets: openSecrets(config), announce: () => {} };
  const hosted = await hostServices([neighbours(log, { registry, targets, scansDays }), analytics], ground);
  return {
    log,
    registry,
    targets,
    scansDays,
    store,
    api: hosted.client(AnalyticsService),
    client: hosted.client,
    append: (touches, recordedAt = NOW) => log.append([recordOf(touches, recordedAt)], randomUUID()),
    settle: () => settle(log, hosted.gauges),
    gauges: hosted.gauges,
    clock,
    by: (who = {}) => {
      const context = internalContext("acme");
      return as({
        ...context,
        now: () => clock.now,
        principal: { ...context.principal, keyClass: "production", ...who },
      });
    },
    close: async () => {
      await hosted.stop();
      await log.close();
      await store.close();
      if (given === undefined) rmSync(folder, { recursive: true });
    },
  };
}

type Neighbours = Pick<AnalyticsGround, "registry" | "targets" | "scansDays">;

function neighbours(log: Log, { registry, targets, scansDays }: Neighbours) {
  const firsts = openFirsts(log);
  return defineService({
    name: "neighbours",
    collections: [],
    calls: [],
    publishes: [],
    consumes: [],
    routes: (router) => {
      router.service(RegistryService, {
        async listCounted({ touches }, handler) {
          registry.asked.push(touches.length);
          if (registry.isDown) throw new Error("the registry is down");
          const { workspace } = contextOf(handler).principal;
          const completeTo = BigInt(Math.min(registry.until, await firsts.readOn()));
          const counted = touches.map(({ id, position }) => firsts.of(workspace, id) === Number(position));
          return { counted, completeTo };
        },
        decideDevices: ({ touches, ...rules }) => ({ devices: touches.map((touch) => decideLike(touch, rules)) }),
        judgeTouches: ({ touches }) => ({ judgements: touches.map(judgeLike), rules: TEST_RULES }),
      });
      router.service(DirectoryService, {
        getTargets({ codeIds }, handler) {
          const { workspace } = contextOf(handler).principal;
          const seen = targets.filter((target) => target.workspaceId === workspace && codeIds.includes(target.codeId));
          return { targets: seen };
        },
      });
      router.service(WorkspaceService, {
        getWorkspace(_request, handler) {
          const { workspace: id } = contextOf(handler).principal;
          const retention = { scansDays: scansDays.get(id) ?? 0 };
          return { workspace: { id, name: `Workspace ${id}`, retention } };
        },
      });
    },
  });
}

/** The positions where each id first stands on the log, over all purposes. */
function openFirsts(log: Log) {
  const positions = new Map<string, number>();
  let upTo = 0;
  let reading: Promise<number> | undefined;
  const read = async (): Promise<number> => {
    for await (const entries of log.read({ after: upTo, subjects: TOUCH_SUBJECTS })) {
      for (const { position, payload } of entries) {
        for (const { workspaceId, id } of touchesIn(payload))
          positions.set(`${workspaceId}/${id}`, positions.get(`${workspaceId}/${id}`) ?? position);
        upTo = position;
      }
    }
    return upTo;
  };
  const readOn = (): Promise<number> => {
    reading ??= read().finally(() => {
      reading = undefined;
    });
    return reading;
  };
  return { readOn, of: (workspace: string, id: string) => positions.get(`${workspace}/${id}`) };
}

function touchesIn(payload: Uint8Array): readonly Touch[] {
  try {
    return fromBinary(TouchBatchSchema, payload).touches;
  } catch {
    return [];
  }
}

/** An entry of touches of one purpose, as intake writes it. */
export function recordOf(touches: readonly Touch[], recordedAt: number): LogRecord {
  const subject = subjectOf[(touches[0]?.purpose ?? Purpose.MARKETING) as TouchPurpose];
  const batch = create(TouchBatchSchema, { touches: [...touches], recordedAt: timestampFromMs(recordedAt) });
  return { subject, key: touches[0]?.codeId ?? "", payload: toBinary(TouchBatchSchema, batch) };
}

async function settle(log: Log, gauges: AnalyticsGround["gauges"]): Promise<void> {
  let last = 0;
  for await (const entries of log.read({ after: 0, subjects: FEED_SUBJECTS })) last = entries.at(-1)?.position ?? last;
  await until(() => (gauges()["analytics.position"] ?? -1) >= last);
}

/** Resolves when it holds; rejects after 20 seconds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`it never came true: ${holds}`);
    await delay(5);
  }
}

/** The field that a refusal names. */
export function fieldOf(error: ConnectError): string | undefined {
  return error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field;
}
