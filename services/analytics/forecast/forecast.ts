import { coverageOf, maeOf, mapeOf, missesOf, trialOf } from "./backtest.ts";
import { baseline, chooseSmoothing, type Fit, holtWinters, SEASON } from "./holt-winters.ts";
import { bandOf, intervalOf, type Miss, unitOf } from "./intervals.ts";

/** Complete days that a forecast needs. */
export const FEWEST_DAYS = 28;
/** Events in them that a forecast needs. */
export const FEWEST_EVENTS = 50;

/** How it was forecast. */
export type Method = "SEASONAL_BASELINE" | "HOLT_WINTERS" | "LOG_HOLT_WINTERS";

/** What the method would have missed by; errors in events a day. */
export interface Backtest {
  folds: number;
  compared: number;
  horizon: number;
  mae: number;
  baselineMae: number;
  modelMae: number;
  ratio: number;
  mase?: number | undefined;
  mape?: number | undefined;
  baselineMape?: number | undefined;
  coverage?: number | undefined;
  level: number;
}

/** A day that is to come. */
export interface Expected {
  expected: number;
  low: number;
  high: number;
}

/** A forecast and what it is worth. */
export interface Forecast {
  method: Method;
  reason: string;
  points: Expected[];
  backtest: Backtest;
}

/** The model must miss by so much less than the baseline: less is no difference that lasts. */
const BETTER = 0.95;

/**
 * Forecasts the days after a daily series. A Holt-Winters model, chosen by the days before the trial, is used where it
 * missed by at least 5% less than the seasonal baseline over the trial; else the baseline. Pure: the same series gives the
 * same forecast.
 */
export function forecast(values: readonly number[], { days, level }: { days: number; level: number }): Forecast {
  const trial = trialOf(values.length, days);
  const tried = chooseSmoothing(values, trial.first + 1);
  const plain = missesOf(values, baseline(values), trial);
  const model = missesOf(values, holtWinters(values, tried), trial);
  const [baselineMae, modelMae] = [maeOf(plain), maeOf(model)];
  const isModel = modelMae < BETTER * baselineMae;
  const chosen = chooseSmoothing(values, values.length);
  const method: Method = !isModel ? "SEASONAL_BASELINE" : chosen.isLog ? "LOG_HOLT_WINTERS" : "HOLT_WINTERS";
  const misses = isModel ? model : plain;
  return {
    method,
    reason: reasonOf(isModel, { modelMae, baselineMae }),
    points: ahead(values, { days, level, misses, using: isModel ? holtWinters(values, chosen) : baseline(values) }),
    backtest: {
      folds: values.length - 1 - trial.first,
      compared: misses.length,
      horizon: trial.horizon,
      mae: maeOf(misses),
      baselineMae,
      modelMae,
      ratio: baselineMae === 0 ? 1 : maeOf(misses) / baselineMae,
      mase: maseOf(values, maeOf(misses)),
      mape: mapeOf(misses),
      baselineMape: mapeOf(plain),
      coverage: coverageOf(misses, level),
      level,
    },
  };
}

function reasonOf(isModel: boolean, { modelMae, baselineMae }: { modelMae: number; baselineMae: number }): string {
  const found = `the model missed by ${modelMae.toFixed(2)} a day and the seasonal baseline by ${baselineMae.toFixed(2)}`;
  return isModel
    ? `In the back-test ${found}: the model is used.`
    : `In the back-test ${found}: the model is not better by 5%, so the baseline is used.`;
}

interface Ahead {
  days: number;
  level: number;
  misses: readonly Miss[];
  using: Fit;
}

function ahead(values: readonly number[], { days, level, misses, using }: Ahead): Expected[] {
  const band = bandOf(misses, level);
  return Array.from({ length: days }, (_, index) => {
    const expected = using.expect(values.length - 1, index + 1);
    const [low, high] = intervalOf(band, { expected, ahead: index + 1 }) ?? [0, expected + 3 * unitOf(expected)];
    return { expected, low, high };
  });
}

/** The error relative to that of "as a week before" within the series; undefined when that never errs. */
function maseOf(values: readonly number[], mae: number): number | undefined {
  let sum = 0;
  for (let day = SEASON; day < values.length; day += 1)
    sum += Math.abs((values[day] as number) - (values[day - SEASON] as number));
  return sum === 0 ? undefined : mae / (sum / (values.length - SEASON));
}
