import { SEASON } from "./holt-winters.ts";

/** What a forecast missed by: from `origin`, `ahead` days later. */
export interface Miss {
  origin: number;
  ahead: number;
  expected: number;
  actual: number;
}

/** How far below and above what is expected a day may lie, by weeks ahead; in units of √(expected + 1). */
export interface Band {
  below: readonly number[];
  above: readonly number[];
}

/** With fewer misses than this the weeks before are asked. */
const FEWEST = 10;

/** Counts vary with the root of how many there are: misses are compared in this unit. */
export function unitOf(expected: number): number {
  return Math.sqrt(expected + 1);
}

/**
 * The band that holds a share `level` of the misses: quantiles of the misses of each week ahead, one rank farther out for
 * the day that is to come (split conformal prediction). A later week is never narrower than one before it.
 */
export function bandOf(misses: readonly Miss[], level: number): Band {
  const weeks: number[][] = [];
  for (const { ahead, expected, actual } of misses) {
    const week = Math.ceil(ahead / SEASON) - 1;
    weeks[week] ??= [];
    weeks[week].push((actual - expected) / unitOf(expected));
  }
  const [below, above]: [number[], number[]] = [[], []];
  for (const scores of weeks) {
    if (scores === undefined || scores.length < FEWEST) break;
    const sorted = Float64Array.from(scores).sort();
    below.push(Math.min(0, below.at(-1) ?? 0, at(sorted, Math.floor(((sorted.length + 1) * (1 - level)) / 2) - 1)));
    above.push(Math.max(0, above.at(-1) ?? 0, at(sorted, Math.ceil(((sorted.length + 1) * (1 + level)) / 2) - 1)));
  }
  return { below, above };
}

function at(sorted: Float64Array, rank: number): number {
  return sorted[Math.min(Math.max(rank, 0), sorted.length - 1)] ?? 0;
}

/** The interval of a day; undefined when nothing is known of misses. Beyond what was compared it widens with √ of the weeks. */
export function intervalOf(
  band: Band,
  day: { expected: number; ahead: number },
): [low: number, high: number] | undefined {
  const known = band.below.length;
  if (known === 0) return undefined;
  const week = Math.ceil(day.ahead / SEASON);
  const index = Math.min(week, known) - 1;
  const unit = unitOf(day.expected) * Math.sqrt(Math.max(1, week / known));
  const low = day.expected + (band.below[index] ?? 0) * unit;
  return [Math.max(0, low), day.expected + (band.above[index] ?? 0) * unit];
}
