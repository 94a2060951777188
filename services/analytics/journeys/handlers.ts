import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AnalyzeJourneysRequest,
  JourneyBasis,
  type JourneyService,
} from "#gen/waymark/analytics/v1/journeys_pb.ts";
import { fail } from "#runtime/failure.ts";
import { zoneOf } from "../aggregates/calendar.ts";
import type { AnalyticsDeps } from "../asking.ts";
import { eitherOf } from "../cohorts/standing.ts";
import { explain } from "../explain.ts";
import { askNarrowed } from "../narrowing.ts";
import { readJourneys } from "./journeys.ts";

const DEFAULT_IDLE_MINUTES = 30;
const DEFAULT_DEPTH = 5;
const DEFAULT_LIMIT = 20;

/** Handlers of JourneyService. */
export function journeyHandlers(own: AnalyticsDeps): ServiceImpl<typeof JourneyService> {
  return { analyzeJourneys: (request, handler) => answerJourneys(own, request, handler) };
}

async function answerJourneys(own: AnalyticsDeps, request: AnalyzeJourneysRequest, handler: HandlerContext) {
  const { tag, where, startDate, endDate, timezone, repeats, inactivityMinutes } = request;
  zoneOf(timezone, "UTC");
  const depth = eitherOf(request.depth ?? 0, request.maxSteps ?? 0, "max_steps") || DEFAULT_DEPTH;
  const through = throughOf(request);
  const isLifetime = request.basis === JourneyBasis.LIFETIME;
  if (isLifetime && inactivityMinutes !== undefined)
    throw fail("INVALID_FIELD", { field: "inactivity_minutes", must: "goes with the basis SESSION" });
  const question = await askNarrowed(own, handler, { tag, where, startDate, endDate });
  const zone = zoneOf(timezone, question.settings.timezone);
  const idleMs = isLifetime ? undefined : (inactivityMinutes ?? DEFAULT_IDLE_MINUTES) * 60_000;
  const limit = request.limit ?? DEFAULT_LIMIT;
  return {
    ...(await readJourneys(question, { idleMs, depth, limit, through, isEachAStep: repeats })),
    timezone: zone,
    explanation: request.explain
      ? await explain(question, {
          log: own.log,
          definition: "journeys",
          startDate,
          endDate,
          timezone: zone,
          notes: ["Events without a device are nobody's and in no journey."],
        })
      : undefined,
  };
}

function throughOf({ through, linkId }: AnalyzeJourneysRequest): string | undefined {
  if (through !== undefined && linkId !== undefined && through !== linkId)
    throw fail("INVALID_FIELD", { field: "link_id", must: "must be given once, here or as through" });
  return through ?? linkId;
}
