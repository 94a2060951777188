import { EmergencyService } from "#gen/waymark/emergency/v1/emergency_pb.ts";
import { defineService } from "#runtime/service.ts";
import { emergencyHandlers } from "./handlers.ts";
import { emergencyModels } from "./model.ts";
import { emergencyProjection } from "./project.ts";

/** Emergency information behind tags, and who looked at it when. */
export const emergency = defineService({
  name: "emergency",
  collections: emergencyModels,
  calls: ["access", "tags"],
  publishes: [],
  consumes: ["tags.deleted"],
  projections: [emergencyProjection],
  routes: (router, deps) => {
    router.service(EmergencyService, emergencyHandlers(deps));
  },
});
