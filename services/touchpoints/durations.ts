/** Durations as they are added up: exact sums, and quantiles from a table that stays small. */
export interface Durations {
  add: (ms: number) => void;
  count: () => number;
  /** Mean in seconds, to the millisecond; undefined without any. */
  average: () => number | undefined;
  /** The least duration that so many percent do not exceed, in seconds, as `floorSeconds` has it; undefined without any. */
  percentile: (percent: number) => number | undefined;
}

/** An empty table. It has some thousand entries at most, however many durations there are. */
export function openDurations(): Durations {
  const counts = new Map<number, number>();
  let [count, sumMs] = [0, 0];
  return {
    add: (ms) => {
      const seconds = floorSeconds(ms);
      counts.set(seconds, (counts.get(seconds) ?? 0) + 1);
      count += 1;
      sumMs += ms;
    },
    count: () => count,
    average: () => (count === 0 ? undefined : Math.round(sumMs / count) / 1_000),
    percentile: (percent) => {
      let left = Math.ceil((count * percent) / 100);
      for (const [seconds, n] of [...counts].sort(([one], [other]) => one - other)) {
        left -= n;
        if (left <= 0) return seconds;
      }
      return undefined;
    },
  };
}

/** Whole seconds; of 1,000 and more the first three digits, rounded down: 86,399 → 86,300. */
export function floorSeconds(ms: number): number {
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 1_000) return seconds;
  const unit = 10 ** (String(seconds).length - 3);
  return Math.floor(seconds / unit) * unit;
}
