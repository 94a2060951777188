/** Events that it takes to tell hours apart. */
export const FEWEST_TIMED = 100;
/** Weeks that it takes: each weekday twice. */
export const FEWEST_WEEKS = 2;

/** An hour of the week and what is to be expected in it. */
export interface Slot {
  /** 1 Monday to 7 Sunday. */
  weekday: number;
  /** 0 to 23. */
  hour: number;
  /** Relative to the mean hour. */
  index: number;
  /** Share of a week's events, in percent, with its 10th and 90th percentile. */
  share: number;
  low: number;
  high: number;
  eventCount: number;
}

/** The hours of the week, the best first, and how much their own counts are trusted. */
export interface BestTimes {
  slots: Slot[];
  /** So many weeks of its own count as much as what weekday and time of day say. */
  priorWeeks: number;
}

const DAYS = 7;
const HOURS = 24;
/** 90th percentile of the normal distribution. */
const Z90 = 1.2816;
const PRIOR_WEEKS = { least: 0.5, most: 1_000 };

/**
 * The rate of each hour of the week, drawn towards what its weekday and its time of day say together (Gamma-Poisson):
 *   prior = rate of the weekday × rate of the time of day / rate of all
 *   rate  = (events + w × prior) / (weeks + w)
 * where w weeks come from how far hours lie from their priors beyond chance (method of moments): where they do not, the
 * prior is all. `counts` and `exposures` have an entry an hour, Monday 0 o'clock first.
 */
export function bestTimes(counts: readonly number[], exposures: readonly number[]): BestTimes {
  const all = rateOf(counts, exposures, () => true);
  const days = Array.from({ length: DAYS }, (_, day) =>
    rateOf(counts, exposures, (at) => Math.floor(at / HOURS) === day),
  );
  const hours = Array.from({ length: HOURS }, (_, hour) => rateOf(counts, exposures, (at) => at % HOURS === hour));
  const priors = counts.map((_, at) =>
    all === 0 ? 0 : ((days[Math.floor(at / HOURS)] as number) * (hours[at % HOURS] as number)) / all,
  );
  const priorWeeks = priorWeeksOf(counts, exposures, priors);
  const rates = counts.map((count, at) => {
    const weeks = (exposures[at] as number) + priorWeeks;
    const events = count + priorWeeks * (priors[at] as number);
    return { rate: events / weeks, deviation: Math.sqrt(events) / weeks };
  });
  const sum = rates.reduce((total, { rate }) => total + rate, 0);
  const slots = rates.map(({ rate, deviation }, at) => ({
    weekday: Math.floor(at / HOURS) + 1,
    hour: at % HOURS,
    index: sum === 0 ? 0 : (rate / sum) * DAYS * HOURS,
    share: percent(rate, sum),
    low: percent(Math.max(0, rate - Z90 * deviation), sum),
    high: Math.min(100, percent(rate + Z90 * deviation, sum)),
    eventCount: counts[at] as number,
  }));
  return { slots: slots.toSorted((a, b) => b.share - a.share), priorWeeks };
}

function percent(rate: number, sum: number): number {
  return sum === 0 ? 0 : (100 * rate) / sum;
}

/** Events a week of the hours that are meant. */
function rateOf(counts: readonly number[], exposures: readonly number[], isMeant: (at: number) => boolean): number {
  let [events, weeks] = [0, 0];
  for (const [at, count] of counts.entries()) {
    if (!isMeant(at)) continue;
    events += count;
    weeks += exposures[at] as number;
  }
  return weeks === 0 ? 0 : events / weeks;
}

/** Mean prior ÷ variance of the true rates around the priors, which is what the counts vary by beyond Poisson. */
function priorWeeksOf(counts: readonly number[], exposures: readonly number[], priors: readonly number[]): number {
  let [beyond, mean, hours] = [0, 0, 0];
  for (const [at, count] of counts.entries()) {
    const [weeks, prior] = [exposures[at] as number, priors[at] as number];
    if (weeks === 0) continue;
    beyond += (count / weeks - prior) ** 2 - prior / weeks;
    mean += prior;
    hours += 1;
  }
  const variance = hours === 0 ? 0 : beyond / hours;
  if (variance <= 0) return PRIOR_WEEKS.most;
  return Math.min(PRIOR_WEEKS.most, Math.max(PRIOR_WEEKS.least, mean / hours / variance));
}
