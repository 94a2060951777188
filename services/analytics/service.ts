import { join, resolve } from "node:path";
import { AggregateService } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { AnalyticsService } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { AttributionService } from "#gen/waymark/analytics/v1/attribution_pb.ts";
import { CohortService } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import { ExportService } from "#gen/waymark/analytics/v1/exports_pb.ts";
import { ForecastService } from "#gen/waymark/analytics/v1/forecast_pb.ts";
import { JourneyService } from "#gen/waymark/analytics/v1/journeys_pb.ts";
import { QueryService } from "#gen/waymark/analytics/v1/query_pb.ts";
import { RevisionService } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { ScoringService } from "#gen/waymark/analytics/v1/scoring_pb.ts";
import { SegmentService } from "#gen/waymark/analytics/v1/segments_pb.ts";
import { SyncService } from "#gen/waymark/analytics/v1/sync_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { publicUrlOf } from "#runtime/config.ts";
import { defineService, type ServiceDeps } from "#runtime/service.ts";
import { aggregateHandlers } from "./aggregates/handlers.ts";
import { attributionHandlers } from "./attribution/handlers.ts";
import { cohortHandlers } from "./cohorts/handlers.ts";
import { type Duck, openDuck } from "./engine/duck.ts";
import { type Gate, openGate } from "./engine/gate.ts";
import { startExpiry } from "./expiry.ts";
import { exportHandlers } from "./exports/handlers.ts";
import { replicaOf, startExports } from "./exports/runner.ts";
import { FEED_SUBJECTS } from "./feed/changes.ts";
import { startFeed } from "./feed/feed.ts";
import { FINGERPRINT, SCHEMA } from "./feed/schema.ts";
import { openFollowing } from "./following.ts";
import { forecastHandlers } from "./forecast/handlers.ts";
import { analyticsHandlers } from "./handlers.ts";
import { journeyHandlers } from "./journeys/handlers.ts";
import { analyticsModels } from "./model.ts";
import { queryHandlers } from "./query/handlers.ts";
import { revisionHandlers } from "./revisions/handlers.ts";
import { startRevisions } from "./revisions/runner.ts";
import { scoringHandlers } from "./scoring/handlers.ts";
import { segmentHandlers } from "./segments/handlers.ts";
import { openSettings, type Settings } from "./settings.ts";
import { syncHandlers } from "./sync/handlers.ts";
import { visitorHandlers } from "./visitors/handlers.ts";

/** What DuckDB may hold in memory; it spills what is more. */
const MEMORY_MB = 768;

/** How long a caller waits while the table is made from the log. */
const PATIENCE_MS = 5_000;

/** The analytics service: columnar events out of the log. */
export const analytics = defineService({
  name: "analytics",
  collections: analyticsModels,
  calls: ["access", "codes", "scans"],
  keepsFiles: true,
  publishes: ["visitors.changed", "touches.revised"],
  consumes: [...FEED_SUBJECTS, "workspaces.changed"],
  routes: (router, deps) => {
    const own = {
      ...deps,
      engine: engineOf(deps),
      publicUrl: publicUrlOf(deps.config),
      settingsOf: settingsIn(deps).of,
      following: openFollowing(),
    };
    router.service(AnalyticsService, analyticsHandlers(own));
    router.service(AggregateService, aggregateHandlers(own));
    router.service(VisitorService, visitorHandlers(own));
    router.service(QueryService, queryHandlers(own));
    router.service(SegmentService, segmentHandlers(own));
    router.service(SyncService, syncHandlers(own));
    const folder = exportsIn(deps);
    router.service(ExportService, exportHandlers({ ...own, folder, replica: () => replicaOf(folder) }));
    router.service(ForecastService, forecastHandlers(own));
    router.service(CohortService, cohortHandlers(own));
    router.service(AttributionService, attributionHandlers(own));
    router.service(JourneyService, journeyHandlers(own));
    router.service(ScoringService, scoringHandlers(own));
    router.service(RevisionService, revisionHandlers(own));
  },
  start: async (deps) => {
    const path = join(deps.config.data, "analytics.duckdb");
    const exports = exportsIn(deps);
    const duck = await openDuck({ path, exports, memoryMb: MEMORY_MB, schema: SCHEMA, fingerprint: FINGERPRINT });
    const gate = engineOf(deps);
    const settings = settingsIn(deps);
    const news = settings.follow(deps.log);
    const expiry = startExpiry({ settingsOf: settings.of, now: deps.now, engine: gate });
    const feed = startFeed({ log: deps.log, client: deps.client, store: deps.store, duck, gate });
    const { exportsMaxGb: maxGb } = deps.config;
    const runner = startExports({ store: deps.store, now: deps.now, engine: gate, folder: exports, maxGb });
    const revisions = startRevisions({ ...deps, engine: gate });
    const gauges = [feed, runner, expiry, revisions];
    return {
      gauges: () => Object.assign({}, ...gauges.map((one) => one.gauges?.())),
      stop: async () => {
        await Promise.all([runner.stop(), revisions.stop(), expiry.stop(), news.stop()]);
        gate.close();
        await feed.stop();
        await duck.close();
      },
    };
  },
});

/** Where the files of exports lie. */
function exportsIn({ config }: ServiceDeps): string {
  return resolve(config.data, "exports");
}

/** The settings that the handlers of each host remember, and its background work has forgotten as they change. */
const remembered = new WeakMap<ServiceDeps, Settings>();

function settingsIn(deps: ServiceDeps): Settings {
  const settings = remembered.get(deps) ?? openSettings(deps);
  remembered.set(deps, settings);
  return settings;
}

/** The engine of each host; handlers are bound before it opens. */
const engines = new WeakMap<ServiceDeps, Gate<Duck>>();

function engineOf(deps: ServiceDeps): Gate<Duck> {
  const known = engines.get(deps);
  if (known !== undefined) return known;
  const gate = openGate<Duck>(PATIENCE_MS);
  engines.set(deps, gate);
  return gate;
}
