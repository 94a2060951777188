import { join } from "node:path";
import { AnalyticsService } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { publicUrlOf } from "#runtime/config.ts";
import { defineService, type ServiceDeps } from "#runtime/service.ts";
import { SCHEMA, SHAPE } from "./columns.ts";
import { type Duck, openDuck } from "./duck.ts";
import { startFeed } from "./feed.ts";
import { type Gate, openGate } from "./gate.ts";
import { analyticsHandlers } from "./handlers.ts";

/** What DuckDB may hold in memory; it spills what is more. */
const MEMORY_MB = 512;

/** How long a caller waits while the table is made from the log. */
const PATIENCE_MS = 5_000;

/** The analytics service: columnar events out of the log. */
export const analytics = defineService({
  name: "analytics",
  collections: [],
  calls: ["access", "codes", "scans"],
  keepsFiles: true,
  publishes: [],
  consumes: ["touches.marketing"],
  routes: (router, deps) => {
    const own = { client: deps.client, engine: engineOf(deps), publicUrl: publicUrlOf(deps.config) };
    router.service(AnalyticsService, analyticsHandlers(own));
  },
  start: async (deps) => {
    const path = join(deps.config.data, "analytics.duckdb");
    const duck = await openDuck({ path, memoryMb: MEMORY_MB, schema: SCHEMA, shape: SHAPE });
    const gate = engineOf(deps);
    const feed = startFeed({ log: deps.log, client: deps.client, duck, gate });
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
