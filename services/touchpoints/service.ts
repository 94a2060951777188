import { TouchpointService } from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import { defineService } from "#runtime/service.ts";
import { touchpointHandlers } from "./handlers.ts";
import { touchpointsModels } from "./model.ts";
import { touchpointsProjection } from "./project.ts";

/** Experiences, touchpoints, visits by user, metrics. */
export const touchpoints = defineService({
  name: "touchpoints",
  collections: touchpointsModels,
  calls: ["access", "scans"],
  publishes: ["touches.refused"],
  consumes: ["touches.touchpoint"],
  routes: (router, deps) => router.service(TouchpointService, touchpointHandlers(deps)),
  projections: [touchpointsProjection],
});
