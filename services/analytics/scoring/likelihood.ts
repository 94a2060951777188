import type { Asking } from "../asking.ts";
import { FEATURES, readFeatures, transformed } from "./features.ts";
import type { TrainingDoc } from "./model.ts";
import { goalOf, toCalibration } from "./models.ts";
import { logistic, oddsOf, type Regression } from "./regression.ts";

/** How likely a visitor converts by a training; undefined when it learnt nothing, or the visitor has no events to look at. */
export async function likelihoodOf(
  asking: Asking,
  training: TrainingDoc,
  { visitorKey, now }: { visitorKey: bigint; now: number },
) {
  const { learnt } = training;
  if (learnt === undefined) return undefined;
  const goal = goalOf(training);
  const found = await readFeatures(asking, { goal, zone: training.zone, cut: now, end: now }, visitorKey);
  if (found === undefined) return undefined;
  const isBaseRate = training.status === "BASE_RATE";
  const modelled = logistic(oddsOf(learnt.regression, transformed(found.values)));
  return {
    probability: found.hasConverted ? undefined : isBaseRate ? learnt.baseRate : modelled,
    baseRate: learnt.baseRate,
    isBaseRate,
    hasConverted: found.hasConverted,
    horizonDays: training.horizonDays,
    conversion: goal.case === undefined ? undefined : { goal },
    contributions: isBaseRate ? [] : contributionsOf(learnt.regression, found.values),
    intercept: learnt.regression.intercept,
    modelId: training.id,
    calibration: toCalibration(learnt.calibration),
  };
}

/** What each feature adds to the log-odds: weight × standardised value. */
export function contributionsOf({ weights, means, scales }: Regression, values: readonly number[]) {
  return transformed(values).map((value, index) => {
    const standardized = (value - (means[index] ?? 0)) / (scales[index] ?? 1);
    const weight = weights[index] ?? 0;
    const name = FEATURES[index]?.name ?? "";
    return { name, value: values[index] ?? 0, standardized, weight, contribution: weight * standardized };
  });
}
