import { AmbassadorService } from "#gen/waymark/impressions/v1/ambassadors_pb.ts";
import { EarningService } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { FunnelService } from "#gen/waymark/impressions/v1/funnel_pb.ts";
import { ImpressionService } from "#gen/waymark/impressions/v1/impressions_pb.ts";
import { PosterService } from "#gen/waymark/impressions/v1/posters_pb.ts";
import { ProgramService } from "#gen/waymark/impressions/v1/programs_pb.ts";
import { ReferralService } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import { defineService } from "#runtime/service.ts";
import { ambassadorHandlers } from "./ambassadors.ts";
import { earningHandlers } from "./earnings.ts";
import { funnelHandlers } from "./funnel.ts";
import { impressionHandlers } from "./impressions.ts";
import { impressionsModels } from "./model.ts";
import { posterHandlers } from "./posters.ts";
import { programHandlers } from "./programs.ts";
import { impressionsProjection } from "./project.ts";
import { referralHandlers } from "./referrals.ts";

/** Programs, posters, ambassadors, impressions, referrals, earnings. */
export const impressions = defineService({
  name: "impressions",
  collections: impressionsModels,
  calls: ["access", "codes", "scans"],
  publishes: ["touches.refused"],
  consumes: ["touches.ambassador"],
  routes: (router, deps) => {
    router.service(ProgramService, programHandlers(deps));
    router.service(AmbassadorService, ambassadorHandlers(deps));
    router.service(PosterService, posterHandlers(deps));
    router.service(ImpressionService, impressionHandlers(deps));
    router.service(ReferralService, referralHandlers(deps));
    router.service(EarningService, earningHandlers(deps));
    router.service(FunnelService, funnelHandlers(deps));
  },
  projections: [impressionsProjection],
});
