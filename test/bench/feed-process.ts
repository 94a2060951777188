import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { AggregateService } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { AnalyticsService } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { DirectoryService } from "#gen/waymark/codes/v1/directory_pb.ts";
import { DeviceType, Purpose, TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { RegistryService } from "#gen/waymark/scans/v1/registry_pb.ts";
import { readConfig } from "#runtime/config.ts";
import { hostServices } from "#runtime/host.ts";
import { as, internalContext } from "#runtime/internal.ts";
import { openSqliteLog } from "#runtime/log.sqlite.ts";
import { openLogger } from "#runtime/logger.ts";
import { openSecrets } from "#runtime/secrets.ts";
import { defineService } from "#runtime/service.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import { analyticsModels } from "../../services/analytics/model.ts";
import { analytics } from "../../services/analytics/service.ts";
import { linkOf } from "./history.ts";
import { rssMb } from "./process.ts";

/**
 * The analytics service alone, over a log that has touches: how fast it feeds while it is asked. Arguments: folder with
 * `analytics.duckdb`, touches. The registry next door counts every touch and answers at once. Prints one JSON line.
 */
const [folder = "", count = "0"] = process.argv.slice(2);
const touches = Number(count);
const BATCH = 500;
const DEVICES = 300_000;

const config = readConfig({ WAYMARK_DATA: folder });
const log = await openSqliteLog({ path: join(folder, "feed-log.db") });
const store = openSqliteStore({ path: join(folder, "feed-store.db"), models: analyticsModels });
const last = await fillLog();
const hosted = await hostServices([neighbours(), analytics], {
  ...{ config, store, log, logger: openLogger("silent"), secrets: openSecrets(config), announce: () => {} },
});
const context = internalContext("default");
const options = as({ ...context, principal: { ...context.principal, keyClass: "production" } });
const begun = performance.now();
const asked: number[] = [];
const isDone = (): boolean => (hosted.gauges()["analytics.position"] ?? 0) >= last;
await Promise.all([keepAsking(0), keepAsking(1), finished()]);
const seconds = (performance.now() - begun) / 1_000;
const { totalEvents } = await hosted.client(AnalyticsService).getEventMetrics({}, options);
process.stdout.write(`${JSON.stringify({ seconds, asked, totalEvents, rssMb: rssMb(process.pid) })}\n`);
await hosted.stop();
await log.close();
await store.close();

async function fillLog(): Promise<number> {
  let position = 0;
  for (let first = 0; first < touches; first += BATCH) {
    const batch = create(TouchBatchSchema, {
      touches: Array.from({ length: BATCH }, (_, index) => touchOf(first + index)),
      recordedAt: timestampFromMs(Date.now()),
    });
    const record = {
      subject: "touches.marketing",
      key: linkOf(0),
      payload: toBinary(TouchBatchSchema, batch),
    } as const;
    position = await log.append([record], randomUUID());
  }
  return position;
}

function touchOf(n: number) {
  return {
    id: `scan_feed${n}`,
    workspaceId: "default",
    purpose: Purpose.MARKETING,
    codeId: linkOf(n % 1_000),
    shortId: `b${n % 1_000}`,
    scannedAt: timestampFromMs(Date.now() - (touches - n)),
    verdict: Verdict.HUMAN,
    place: { country: "DE", region: "BE", city: "Berlin", timezone: "Europe/Berlin" },
    device: { type: DeviceType.MOBILE, browser: "Safari", browserVersion: "17.4", platform: "iOS", language: "de-DE" },
    deviceId: `feed-device-${n % DEVICES}`,
    destination: "https://example.com/",
    method: "GET",
  };
}

/** The services that analytics asks. */
function neighbours() {
  return defineService({
    name: "neighbours",
    collections: [],
    calls: [],
    publishes: [],
    consumes: [],
    routes: (router) => {
      router.service(RegistryService, {
        listCounted: ({ touches: some }) => ({
          counted: some.map(() => true),
          completeTo: BigInt(Number.MAX_SAFE_INTEGER),
        }),
      });
      router.service(DirectoryService, { getTargets: () => ({ targets: [] }) });
      router.service(WorkspaceService, { getWorkspace: () => ({ workspace: { id: "default", timezone: "UTC" } }) });
    },
  });
}

/** Asks for the countries and unique visitors of a link's last 30 days, one link after the other, with a short rest, until the feed is done. */
async function keepAsking(offset: number): Promise<void> {
  for (let n = offset; !isDone(); n += 2) {
    const since = performance.now();
    const month = { startDate: timestampFromMs(Date.now() - 30 * 86_400_000), endDate: timestampFromMs(Date.now()) };
    await hosted.client(AggregateService).queryBreakdown({ linkId: linkOf(n % 100), ...month }, options);
    asked.push(performance.now() - since);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function finished(): Promise<void> {
  while (!isDone()) await new Promise((resolve) => setTimeout(resolve, 5));
}
