import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type AnalyzeAttributionRequest,
  AttributionBy,
  type AttributionService,
  ConversionCounting,
} from "#gen/waymark/analytics/v1/attribution_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { zoneOf } from "../aggregates/calendar.ts";
import type { AnalyticsDeps } from "../asking.ts";
import { explain } from "../explain.ts";
import { askNarrowed, type NarrowedQuestion } from "../narrowing.ts";
import { DAY_MS } from "../rules.ts";
import { firstMs, lastMs, scopeOf } from "../scope.ts";
import { ALL_MODELS, readAttribution } from "./attribution.ts";
import { goalOf, goalsSql } from "./goals.ts";

const DEFAULT_LOOKBACK_DAYS = 30;
const DEFAULT_HALF_LIFE_DAYS = 7;
const DEFAULT_LIMIT = 50;

/** Handlers of AttributionService. */
export function attributionHandlers(own: AnalyticsDeps): ServiceImpl<typeof AttributionService> {
  return { analyzeAttribution: (request, handler) => answerAttribution(own, request, handler) };
}

async function answerAttribution(own: AnalyticsDeps, request: AnalyzeAttributionRequest, handler: HandlerContext) {
  const { linkId, tag, where, startDate, endDate, timezone, models, conversion } = request;
  zoneOf(timezone, "UTC");
  const goal = goalOf(conversion);
  scopeOf(contextOf(handler), { startDate, endDate });
  const question = await askNarrowed(own, handler, { linkId, tag, where });
  const start = startDate === undefined ? 0 : Number(firstMs(startDate));
  const asked = {
    goals: goalsSql(goal, question.seen.sql),
    isOnce: request.counting !== ConversionCounting.EVERY,
    by: request.by || AttributionBy.LINK,
    models: models.length === 0 ? ALL_MODELS : models,
    from: Math.max(start, Math.floor(question.floor?.at ?? 0)),
    until: endDate === undefined ? question.now : Math.min(question.now, Number(lastMs(endDate))),
    lookbackMs: (request.lookbackDays ?? DEFAULT_LOOKBACK_DAYS) * DAY_MS,
    halfLifeMs: Math.round((request.halfLifeDays ?? DEFAULT_HALF_LIFE_DAYS) * DAY_MS),
    limit: request.limit ?? DEFAULT_LIMIT,
  };
  const zone = zoneOf(timezone, question.settings.timezone);
  return {
    ...(await readAttribution(question, asked)),
    timezone: zone,
    explanation: request.explain ? await telling(own, { request, question, zone }) : undefined,
  };
}

interface Told {
  request: AnalyzeAttributionRequest;
  question: NarrowedQuestion;
  zone: string;
}

function telling(own: AnalyticsDeps, { request, question, zone }: Told) {
  const { startDate, endDate } = request;
  return explain(question, {
    log: own.log,
    definition: "attribution",
    startDate,
    endDate,
    timezone: zone,
    notes: [
      "Events and conversions without a device are nobody's: neither is shared out.",
      "What was considered are all events that may be touches, before the start too.",
    ],
  });
}
