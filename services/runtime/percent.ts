/** Percent of a whole: `round(10000 · part / whole) / 100`, to two decimals, halves up; 0 of nothing. All APIs mean this by a percentage. */
export function percentOf(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.round((10_000 * part) / whole) / 100;
}
