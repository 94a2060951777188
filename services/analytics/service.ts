import { join } from "node:path";
import { AnalyticsService } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { publicUrlOf } from "#runtime/config.ts";
import { defineService } from "#runtime/service.ts";
import { type Duck, openDuck } from "./duck.ts";
import { startFeed } from "./feed.ts";
import { analyticsHandlers } from "./handlers.ts";

/** What DuckDB may hold in memory; it spills what is more. */
const MEMORY_MB = 512;

/** The analytics service: columnar events out of the log. */
export const analytics = defineService({
  name: "analytics",
  collections: [],
  calls: ["access", "codes", "scans"],
  publishes: [],
  consumes: ["touches.recorded"],
  routes: (router, deps) => {
    const publicUrl = publicUrlOf(deps.config);
    router.service(AnalyticsService, analyticsHandlers({ deps, publicUrl, duck: () => opened(deps) }));
  },
  start: async (deps) => {
    const duck = await openDuck({ path: join(deps.config.data, "analytics.duckdb"), memoryMb: MEMORY_MB });
    engines.set(deps, duck);
    const feed = await startFeed(deps, duck);
    return {
      gauges: feed.gauges,
      stop: async () => {
        await feed.stop();
        duck.close();
      },
    };
  },
});

/** The engine of each host; handlers are bound before it opens. */
const engines = new WeakMap<object, Duck>();

function opened(deps: object): Duck {
  const duck = engines.get(deps);
  if (duck === undefined) throw new Error("analytics was asked before it was started");
  return duck;
}
