import { type Fit, SEASON } from "./holt-winters.ts";
import { bandOf, intervalOf, type Miss } from "./intervals.ts";

/** The days on which a method is tried: from each of the last `origins` days it looks up to `horizon` days ahead. */
export interface Trial {
  /** The first day from which it looks ahead, counted from the first of the series. */
  first: number;
  horizon: number;
}

/** Days of a series that are held back for trying at most. */
const MOST_TRIED = 168;

/** Half of a series, and no more than 24 weeks, is for trying; the other half is what the first day knows. */
export function trialOf(length: number, days: number): Trial {
  const tried = Math.min(MOST_TRIED, Math.floor(length / 2));
  return { first: length - tried - 1, horizon: Math.min(days, tried) };
}

/** What a method would have missed by, from each day as if the days after it were not known (rolling origin). */
export function missesOf(values: readonly number[], { expect }: Fit, { first, horizon }: Trial): Miss[] {
  const misses: Miss[] = [];
  for (let origin = first; origin < values.length - 1; origin += 1)
    for (let ahead = 1; ahead <= horizon && origin + ahead < values.length; ahead += 1)
      misses.push({ origin, ahead, expected: expect(origin, ahead), actual: values[origin + ahead] as number });
  return misses;
}

/** Mean absolute error. */
export function maeOf(misses: readonly Miss[]): number {
  let sum = 0;
  for (const { expected, actual } of misses) sum += Math.abs(actual - expected);
  return misses.length === 0 ? 0 : sum / misses.length;
}

/** Sum of absolute errors in percent of the sum of the actual counts; undefined when these are nothing. */
export function mapeOf(misses: readonly Miss[]): number | undefined {
  let actuals = 0;
  for (const { actual } of misses) actuals += actual;
  return actuals === 0 ? undefined : (100 * maeOf(misses) * misses.length) / actuals;
}

/**
 * The share of days that lay within intervals made only of misses that were known on the day of the forecast. Looks every
 * seventh day of the later half of the trial. Undefined when nothing could be compared.
 */
export function coverageOf(misses: readonly Miss[], level: number): number | undefined {
  const origins = [...new Set(misses.map(({ origin }) => origin))];
  let held = 0;
  let compared = 0;
  for (let index = Math.ceil(origins.length / 2); index < origins.length; index += SEASON) {
    const today = origins[index] as number;
    const band = bandOf(
      misses.filter(({ origin, ahead }) => origin + ahead <= today),
      level,
    );
    for (const { origin, ahead, expected, actual } of misses) {
      const interval = origin === today ? intervalOf(band, { expected, ahead }) : undefined;
      if (interval === undefined) continue;
      compared += 1;
      if (actual >= interval[0] && actual <= interval[1]) held += 1;
    }
  }
  return compared === 0 ? undefined : held / compared;
}
