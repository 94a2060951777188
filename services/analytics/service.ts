import { join } from "node:path";
import { AggregateService } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { AnalyticsService } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { ForecastService } from "#gen/waymark/analytics/v1/forecast_pb.ts";
import { ScoringService } from "#gen/waymark/analytics/v1/scoring_pb.ts";
import { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { publicUrlOf } from "#runtime/config.ts";
import { defineService, type ServiceDeps } from "#runtime/service.ts";
import { aggregateHandlers } from "./aggregates/handlers.ts";
import { type Duck, openDuck } from "./engine/duck.ts";
import { type Gate, openGate } from "./engine/gate.ts";
import { FEED_SUBJECTS } from "./feed/changes.ts";
import { startFeed } from "./feed/feed.ts";
import { FINGERPRINT, SCHEMA } from "./feed/schema.ts";
import { forecastHandlers } from "./forecast/handlers.ts";
import { analyticsHandlers } from "./handlers.ts";
import { analyticsModels } from "./model.ts";
import { scoringHandlers } from "./scoring/handlers.ts";
import { openSettings } from "./settings.ts";
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
  publishes: ["visitors.changed"],
  consumes: FEED_SUBJECTS,
  routes: (router, deps) => {
    const own = {
      ...deps,
      engine: engineOf(deps),
      publicUrl: publicUrlOf(deps.config),
      settingsOf: openSettings(deps),
    };
    router.service(AnalyticsService, analyticsHandlers(own));
    router.service(AggregateService, aggregateHandlers(own));
    router.service(VisitorService, visitorHandlers(own));
    router.service(ForecastService, forecastHandlers(own));
    router.service(ScoringService, scoringHandlers(own));
  },
  start: async (deps) => {
    const path = join(deps.config.data, "analytics.duckdb");
    const exports = join(deps.config.data, "exports");
    const duck = await openDuck({ path, exports, memoryMb: MEMORY_MB, schema: SCHEMA, fingerprint: FINGERPRINT });
    const gate = engineOf(deps);
    const feed = startFeed({ log: deps.log, client: deps.client, store: deps.store, duck, gate });
    return {
      ...feed,
      stop: async () => {
        gate.close();
        await feed.stop();
        await duck.close();
      },
    };
  },
});

/** The engine of each host; handlers are bound before it opens. */
const engines = new WeakMap<ServiceDeps, Gate<Duck>>();

function engineOf(deps: ServiceDeps): Gate<Duck> {
  const known = engines.get(deps);
  if (known !== undefined) return known;
  const gate = openGate<Duck>(PATIENCE_MS);
  engines.set(deps, gate);
  return gate;
}
