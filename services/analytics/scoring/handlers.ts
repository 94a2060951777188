import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  GetLeadScoreRequest,
  GetVisitorScoreRequest,
  ScoringService,
  TrainScoringModelRequest,
  UpdateScoringRequest,
} from "#gen/waymark/analytics/v1/scoring_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail as failAny } from "#runtime/failure.ts";
import { type AnalyticsDeps, ask } from "../asking.ts";
import { completeness } from "../forecast/history.ts";
import { fail } from "../reasons.ts";
import { goalIn } from "./conversions.ts";
import { likelihoodOf } from "./likelihood.ts";
import type { TrainingDoc } from "./model.ts";
import { goalJson, keepTraining, listTrainings, newestTraining, toModel, trainingOf } from "./models.ts";
import {
  LEAD_SCORE_RULES,
  leadScoreOf,
  PART_NAMES,
  type Parts,
  partsOf,
  reasonsOf,
  rounded,
  type Sums,
  sharesOf,
} from "./parts.ts";
import { readEvent, readSums, readSumsAt, visitorKeyOf } from "./scores.ts";
import { learn } from "./training.ts";
import { type Owner, type Scoring, scoringOf, setScoring } from "./weights.ts";

const DEFAULT_HORIZON_DAYS = 14;

/** Handlers of ScoringService. */
export function scoringHandlers(own: AnalyticsDeps): ServiceImpl<typeof ScoringService> {
  return {
    async getScoring(_request, handler) {
      return { scoring: toScoring(await scoringOf(own.store, ownerOf(handler))) };
    },
    updateScoring: (request, handler) => updateScoring(own, request, handler),
    getVisitorScore: (request, handler) => getVisitorScore(own, request, handler),
    getLeadScore: (request, handler) => getLeadScore(own, request, handler),
    async trainScoringModel(request, handler) {
      return { model: toModel(await trainModel(own, request, handler)) };
    },
    async listScoringModels(_request, handler) {
      return { models: (await listTrainings(own.store, ownerOf(handler))).map(toModel) };
    },
    async getScoringModel({ modelId }, handler) {
      return { model: toModel(await requireTraining(own, handler, modelId)) };
    },
  };
}

function ownerOf(handler: HandlerContext): Owner {
  const { workspace, test } = contextOf(handler).principal;
  return { workspace, test };
}

function toScoring({ weights, version, updatedAt }: Scoring) {
  return { weights, version, updatedAt: updatedAt === undefined ? undefined : timestampFromMs(updatedAt) };
}

async function updateScoring(
  own: AnalyticsDeps,
  { weights: given, version }: UpdateScoringRequest,
  handler: HandlerContext,
) {
  const entries = PART_NAMES.map((name) => [name, given?.[name] ?? 0] as const);
  if (entries.every(([, weight]) => weight === 0))
    throw failAny("INVALID_FIELD", { field: "weights", must: "must have at least one weight above 0" });
  const weights = Object.fromEntries(entries) as unknown as Parts;
  const now = contextOf(handler).now();
  return { scoring: toScoring(await setScoring(own.store, ownerOf(handler), { weights, expected: version, now })) };
}

async function getVisitorScore(
  own: AnalyticsDeps,
  { visitorId, modelId }: GetVisitorScoreRequest,
  handler: HandlerContext,
) {
  const question = await ask(own, handler);
  const owner = ownerOf(handler);
  const visitorKey = await visitorKeyOf(question, visitorId);
  if (visitorKey === undefined) throw fail("VISITOR_NOT_FOUND", { visitorId });
  const training =
    modelId === undefined ? await newestTraining(own.store, owner) : await requireTraining(own, handler, modelId);
  const now = Math.floor(contextOf(handler).now());
  const [{ weights, version }, sums, conversionLikelihood] = await Promise.all([
    scoringOf(own.store, owner),
    readSums(question, visitorKey),
    training && likelihoodOf(question, training, { visitorKey, now }),
  ]);
  return {
    visitorId,
    score: leadScoreOf(partsOf(sums), weights).leadScore,
    parts: partsAnswer(sums, weights),
    version,
    computedAt: timestampFromMs(now),
    model: LEAD_SCORE_RULES,
    conversionLikelihood,
  };
}

function partsAnswer(sums: Sums, weights: Parts) {
  const [parts, shares, reasons] = [partsOf(sums), sharesOf(weights), reasonsOf(sums)];
  return PART_NAMES.map((name) => ({
    name,
    value: rounded(parts[name]),
    weight: shares[name],
    contribution: rounded(shares[name] * parts[name]),
    reason: reasons[name],
  }));
}

async function getLeadScore(own: AnalyticsDeps, { linkId, eventId }: GetLeadScoreRequest, handler: HandlerContext) {
  const narrowed = await ask(own, handler, { linkId });
  const event = await readEvent(narrowed, eventId);
  if (event === undefined) throw fail("EVENT_NOT_FOUND", { eventId });
  if (event === "nobody") throw fail("EVENT_UNSCORED", { eventId });
  const [{ weights, version }, sums] = await Promise.all([
    scoringOf(own.store, ownerOf(handler)),
    ask(own, handler).then((question) => readSumsAt(question, event)),
  ]);
  const breakdown = leadScoreOf(partsOf(sums), weights);
  return {
    leadScore: breakdown.leadScore,
    recurringScans: breakdown.recurringScans,
    breakdown,
    scoringContext: contextText(sums, { visitorId: event.visitorId, at: event.at, version }),
    scoringRationale: rationaleOf(sums, weights),
  };
}

function contextText(
  sums: Sums,
  { visitorId, at, version }: { visitorId: string; at: number; version: number },
): string {
  const events = sums.visits === 1 ? "the first event" : `${sums.visits} events`;
  const until = `${events} of visitor ${visitorId} up to ${new Date(at).toISOString()}`;
  return `Counted from ${until}, with weights of version ${version} (${LEAD_SCORE_RULES}).`;
}

/** A sentence a part, the one that adds most first. */
function rationaleOf(sums: Sums, weights: Parts): string {
  const parts = partsAnswer(sums, weights).toSorted((a, b) => b.contribution - a.contribution);
  return parts.map(({ name, contribution, reason }) => `${name} adds ${contribution}: ${reason}.`).join(" ");
}

async function requireTraining(own: AnalyticsDeps, handler: HandlerContext, modelId: string): Promise<TrainingDoc> {
  const found = await trainingOf(own.store, ownerOf(handler), modelId);
  if (found === undefined) throw fail("MODEL_NOT_FOUND", { modelId });
  return found;
}

async function trainModel(own: AnalyticsDeps, request: TrainScoringModelRequest, handler: HandlerContext) {
  const { now, newId } = contextOf(handler);
  const goal = goalIn(request.conversion);
  const question = await ask(own, handler);
  const horizonDays = request.horizonDays ?? DEFAULT_HORIZON_DAYS;
  const { until } = await completeness(question, own.log, Math.floor(now()));
  const zone = question.settings.timezone;
  const { thin, ...outcome } = await learn(question, { goal, horizonDays, zone, until });
  const owner = ownerOf(handler);
  const facts = {
    test: owner.test,
    conversion: goalJson(goal),
    horizonDays,
    zone,
    completeUntil: until,
    createdAt: now(),
  };
  const training: TrainingDoc = { id: newId("model"), ...facts, ...outcome };
  await keepTraining(own.store, owner, training);
  if (thin !== undefined) throw fail("MODEL_TOO_THIN", thin);
  return training;
}
