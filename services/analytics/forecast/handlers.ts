import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type FindBestTimeRequest,
  ForecastMethod,
  ForecastMetric,
  type ForecastRequest,
  type ForecastService,
} from "#gen/waymark/analytics/v1/forecast_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { zoneOf } from "../aggregates/calendar.ts";
import { type AnalyticsDeps, ask, type Question } from "../asking.ts";
import { explain } from "../explain.ts";
import { fail } from "../reasons.ts";
import { DAY_MS } from "../rules.ts";
import { lastMs } from "../scope.ts";
import { bestTimes, FEWEST_TIMED, FEWEST_WEEKS, type Slot } from "./best-time.ts";
import { FEWEST_DAYS, FEWEST_EVENTS, type Forecast } from "./forecast.ts";
import {
  type Complete,
  completeness,
  type History,
  type Metric,
  readHistory,
  readWeekHours,
  type WeekHours,
} from "./history.ts";
import { keptForecast } from "./kept.ts";
import type { ForecastDoc } from "./model.ts";
import { dateOf } from "./zone.ts";

const DEFAULT_DAYS = 14;
const DEFAULT_LEVEL = 0.8;
const DEFAULT_SLOTS = 5;
/** Best hours that come with a forecast. */
const SLOTS_BESIDE = 3;
/** How far best times look back when nothing is said: half a year. */
const TIMED_MS = 182 * DAY_MS;

const METHODS: Readonly<Record<Forecast["method"], ForecastMethod>> = {
  SEASONAL_BASELINE: ForecastMethod.SEASONAL_BASELINE,
  HOLT_WINTERS: ForecastMethod.HOLT_WINTERS,
  LOG_HOLT_WINTERS: ForecastMethod.LOG_HOLT_WINTERS,
};

/** Handlers of ForecastService. */
export function forecastHandlers(own: AnalyticsDeps): ServiceImpl<typeof ForecastService> {
  return {
    forecast: (request, handler) => answerForecast(own, request, handler),
    findBestTime: (request, handler) => answerBestTime(own, request, handler),
  };
}

/** A question with its zone, and until when its numbers are complete. */
interface Standing {
  question: Question;
  zone: string;
  complete: Complete;
}

async function standingOf(
  own: AnalyticsDeps,
  request: ForecastRequest | FindBestTimeRequest,
  handler: HandlerContext,
): Promise<Standing> {
  const { linkId, tag, startDate, endDate, timezone } = request;
  zoneOf(timezone, "UTC");
  const question = await ask(own, handler, { linkId, tag, startDate, endDate });
  const found = await completeness(question, own.log, contextOf(handler).now());
  const until = endDate === undefined ? found.until : Math.min(found.until, Number(lastMs(endDate)) + 1);
  return { question, zone: zoneOf(timezone, question.settings.timezone), complete: { ...found, until } };
}

async function answerForecast(own: AnalyticsDeps, request: ForecastRequest, handler: HandlerContext) {
  const standing = await standingOf(own, request, handler);
  const { question, zone, complete } = standing;
  const { workspace, test } = contextOf(handler).principal;
  const metric: Metric = request.metric === ForecastMetric.UNIQUE_VISITORS ? "UNIQUE_VISITORS" : "EVENTS";
  const level = Math.round((request.level ?? DEFAULT_LEVEL) * 100) / 100;
  const [history, hours] = await Promise.all([
    readHistory(question, { zone, until: complete.until, metric }),
    readWeekHours(question, { zone, from: complete.until - TIMED_MS, until: complete.until }),
  ]);
  const total = refuseThin(history);
  const asked = { workspace, test, days: request.days ?? DEFAULT_DAYS, level };
  const from = [request.startDate?.seconds, request.endDate?.seconds];
  const kept = await keptForecast(
    { store: own.store, now: contextOf(handler).now() },
    { ...asked, question: [request.linkId, request.tag, metric, zone, ...from] },
    history,
  );
  return {
    method: METHODS[kept.forecast.method],
    reason: kept.forecast.reason,
    points: pointsOf(kept.forecast, history),
    backtest: backtestOf(kept.forecast.backtest),
    history: historyOf(history, { total, kept, complete }),
    bestTimes: isThin(hours, complete) ? [] : bestOf(hours, SLOTS_BESIDE).slots,
    timezone: zone,
    explanation: request.explain ? await telling(own, { request, standing, definition: "forecast" }) : undefined,
  };
}

/** Refuses what is too little to forecast from; answers with the events in it. */
function refuseThin({ values }: History): number {
  const total = values.reduce((sum, value) => sum + value, 0);
  if (values.length >= FEWEST_DAYS && total >= FEWEST_EVENTS) return total;
  const needs = { needsDays: FEWEST_DAYS, needsEvents: FEWEST_EVENTS };
  throw fail("FORECAST_TOO_THIN", { ...needs, days: values.length, events: total });
}

function pointsOf({ points }: Forecast, { lastDay }: History) {
  return points.map(({ expected, low, high }, index) => ({
    date: dateOf(lastDay + 1 + index),
    expected: round(expected),
    low: round(low),
    high: round(high),
  }));
}

function backtestOf({ folds, compared, horizon, level, ...numbers }: Forecast["backtest"]) {
  const rounded = Object.entries(numbers).map(([name, value]) => [name, value === undefined ? value : round(value)]);
  return { folds, compared, horizon, level, ...(Object.fromEntries(rounded) as typeof numbers) };
}

function historyOf(
  { firstDay, lastDay, values }: History,
  { total, kept, complete }: { total: number; kept: ForecastDoc; complete: Complete },
) {
  return {
    firstDate: dateOf(firstDay),
    lastDate: dateOf(lastDay),
    days: values.length,
    total: BigInt(total),
    position: BigInt(complete.position),
    computedAt: timestampFromMs(kept.computedAt),
  };
}

/** To four decimals. */
function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}

async function answerBestTime(own: AnalyticsDeps, request: FindBestTimeRequest, handler: HandlerContext) {
  const standing = await standingOf(own, request, handler);
  const { question, zone, complete } = standing;
  const longest = request.startDate === undefined ? TIMED_MS : 730 * DAY_MS;
  const hours = await readWeekHours(question, { zone, from: complete.until - longest, until: complete.until });
  const weeks = weeksOf(hours, complete);
  if (isThin(hours, complete)) {
    const needs = { needsEvents: FEWEST_TIMED, needsWeeks: FEWEST_WEEKS };
    throw fail("BEST_TIME_TOO_THIN", { ...needs, events: hours.total, weeks: weeks.toFixed(1) });
  }
  const { slots, priorWeeks } = bestOf(hours, request.limit ?? DEFAULT_SLOTS);
  return {
    slots,
    totalEvents: BigInt(hours.total),
    weeks: round(weeks),
    priorWeeks: round(priorWeeks),
    timezone: zone,
    explanation: request.explain ? await telling(own, { request, standing, definition: "best-time" }) : undefined,
  };
}

function weeksOf({ from }: WeekHours, { until }: Complete): number {
  return (until - from) / (7 * DAY_MS);
}

function isThin(hours: WeekHours, complete: Complete): boolean {
  return hours.total < FEWEST_TIMED || weeksOf(hours, complete) < FEWEST_WEEKS;
}

function bestOf({ counts, exposures }: WeekHours, limit: number) {
  const { slots, priorWeeks } = bestTimes(counts, exposures);
  return { slots: slots.slice(0, limit).map(slotOf), priorWeeks };
}

function slotOf({ weekday, hour, index, share, low, high, eventCount }: Slot) {
  const rounded = { index: round(index), share: round(share), low: round(low), high: round(high) };
  return { weekday, hour, ...rounded, eventCount: BigInt(eventCount) };
}

interface Told {
  request: ForecastRequest | FindBestTimeRequest;
  standing: Standing;
  definition: string;
}

function telling(own: AnalyticsDeps, { request, standing, definition }: Told) {
  const { question, zone, complete } = standing;
  return explain(question, {
    log: own.log,
    definition,
    startDate: request.startDate,
    endDate: timestampFromMs(complete.until),
    timezone: zone,
  });
}
