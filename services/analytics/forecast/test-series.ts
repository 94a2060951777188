/** Numbers from 0 to before 1 that are the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A number of the normal distribution. */
export function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** A count of this mean: Poisson, above 50 by its normal likeness. */
export function poisson(mean: number, random: () => number): number {
  if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)));
  let [count, product] = [0, random()];
  for (const end = Math.exp(-mean); product > end; product *= random()) count += 1;
  return count;
}

/** How weekdays differ, Monday first. */
export const WEEK = [1, 1.1, 1.2, 1.1, 1.4, 0.7, 0.5] as const;

/** Mean events of a day by its number. */
export type Shape = (day: number) => number;

const weekday = (day: number): number => WEEK[day % 7] as number;

/** Shapes of series. */
export const SHAPES = {
  seasonal: (day) => 40 * weekday(day),
  growing: (day) => 20 * Math.exp(0.012 * day) * weekday(day),
  rising: (day) => (20 + day) * weekday(day),
  noise: () => 30,
} as const satisfies Record<string, Shape>;

/** So many days of a shape, with chance. */
export function seriesOf(shape: Shape, { days, seed }: { days: number; seed: number }): number[] {
  const random = randomOf(seed);
  return Array.from({ length: days }, (_, day) => poisson(shape(day), random));
}
