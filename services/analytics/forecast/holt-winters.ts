/** Days after which a season comes again: a week. */
export const SEASON = 7;

/** What decides how fast a model follows. */
export interface Smoothing {
  /** How fast the level follows, 0 to 1. */
  alpha: number;
  /** How fast the trend follows, 0 to 1. */
  beta: number;
  /** How fast the effects of weekdays follow, 0 to 1. */
  gamma: number;
  /** What is left of the trend after each day, 0 to 1. */
  phi: number;
  /** On log(1 + y): trend and weekday effects multiply. */
  isLog: boolean;
}

/** A model that has read a series; it forecasts from each of its days. */
export interface Fit {
  /** What is expected `ahead` days after the day `origin`, counted from the first; never negative. */
  expect: (origin: number, ahead: number) => number;
}

/** The first day from which a model can forecast: it begins with two weeks. */
export const FIRST_ORIGIN = 2 * SEASON - 1;

/**
 * Holt-Winters with a damped trend and additive effects of weekdays:
 *   level  = alpha (y − season[−7]) + (1 − alpha) (level + phi trend)
 *   trend  = beta (level − level before) + (1 − beta) phi trend
 *   season = gamma (y − level) + (1 − gamma) season[−7]
 * It begins with the mean of the first week, no trend, and what weekdays of the first two weeks were away from their weeks.
 */
export function holtWinters(values: readonly number[], smoothing: Smoothing): Fit {
  const { alpha, beta, gamma, phi, isLog } = smoothing;
  const seen = isLog ? values.map(Math.log1p) : values;
  const season = firstSeason(seen);
  const levels = new Float64Array(values.length);
  const trends = new Float64Array(values.length);
  let level = mean(seen, 0, SEASON);
  let trend = 0;
  levels.fill(level, 0, SEASON);
  for (let day = SEASON; day < seen.length; day += 1) {
    const [value, effect, before] = [seen[day] as number, season[day - SEASON] as number, level];
    level = alpha * (value - effect) + (1 - alpha) * (level + phi * trend);
    trend = beta * (level - before) + (1 - beta) * phi * trend;
    season[day] = gamma * (value - level) + (1 - gamma) * effect;
    levels[day] = level;
    trends[day] = trend;
  }
  const damping = dampings(phi, MOST_AHEAD);
  return {
    expect(origin, ahead) {
      const effect = season[origin + ahead - SEASON * Math.ceil(ahead / SEASON)] as number;
      const value = (levels[origin] as number) + (damping[ahead] as number) * (trends[origin] as number) + effect;
      return Math.max(0, isLog ? Math.expm1(value) : value);
    },
  };
}

/** The farthest that anybody may ask for. */
export const MOST_AHEAD = 90;

/** phi + phi² + … + phi^h by h. */
function dampings(phi: number, most: number): Float64Array {
  const sums = new Float64Array(most + 1);
  for (let ahead = 1; ahead <= most; ahead += 1) sums[ahead] = phi * (1 + (sums[ahead - 1] as number));
  return sums;
}

function firstSeason(seen: readonly number[]): Float64Array {
  const season = new Float64Array(seen.length);
  const weeks = [mean(seen, 0, SEASON), mean(seen, SEASON, 2 * SEASON)] as const;
  for (let day = 0; day < SEASON; day += 1)
    season[day] = ((seen[day] as number) - weeks[0] + (seen[day + SEASON] as number) - weeks[1]) / 2;
  return season;
}

function mean(values: readonly number[], begin: number, end: number): number {
  let sum = 0;
  for (let index = begin; index < end; index += 1) sum += values[index] ?? 0;
  return sum / (end - begin);
}

/** Every combination that is tried, the slowest first. */
const CANDIDATES: readonly Smoothing[] = [false, true].flatMap((isLog) =>
  [0.05, 0.1, 0.2, 0.4].flatMap((alpha) =>
    [0, 0.05, 0.2].flatMap((beta) =>
      [0.05, 0.15].flatMap((gamma) => [0.9, 0.98].map((phi) => ({ alpha, beta, gamma, phi, isLog }))),
    ),
  ),
);

/** What is taken where there is too little to choose by. */
const CAREFUL: Smoothing = { alpha: 0.1, beta: 0.05, gamma: 0.1, phi: 0.9, isLog: false };

/** The smoothing that missed by least, one day and one week ahead, over the days before `end`. */
export function chooseSmoothing(values: readonly number[], end: number): Smoothing {
  let best = CAREFUL;
  let least = Number.POSITIVE_INFINITY;
  const known = values.slice(0, end);
  if (known.length <= FIRST_ORIGIN + SEASON) return best;
  for (const smoothing of CANDIDATES) {
    const error = missedBy(known, smoothing);
    if (error < least) [best, least] = [smoothing, error];
  }
  return best;
}

function missedBy(values: readonly number[], smoothing: Smoothing): number {
  const { expect } = holtWinters(values, smoothing);
  let sum = 0;
  for (let origin = FIRST_ORIGIN; origin + SEASON < values.length; origin += 1)
    for (const ahead of [1, SEASON]) sum += Math.abs((values[origin + ahead] as number) - expect(origin, ahead));
  return sum;
}

/** Weeks that the baseline looks back. */
const BASELINE_WEEKS = 4;

/** The seasonal baseline: the mean of the same weekday of the last four weeks, or of as many as there are. */
export function baseline(values: readonly number[]): Fit {
  return {
    expect(origin, ahead) {
      let sum = 0;
      let count = 0;
      let day = origin + ahead - SEASON * Math.ceil(ahead / SEASON);
      for (; day >= 0 && count < BASELINE_WEEKS; day -= SEASON) {
        sum += values[day] as number;
        count += 1;
      }
      return count === 0 ? 0 : sum / count;
    },
  };
}
