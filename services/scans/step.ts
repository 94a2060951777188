/** The positions of the first and the last entry of a step of the projection. */
export interface Step {
  first: number;
  last: number;
}

/**
 * Where the position that last changed a document stands. "in": this very step has changed it at an earlier run.
 * "after": a later step has, so all of this one is done, and who comes with it is late.
 */
export function standsIn({ first, last }: Step, position: number): "before" | "in" | "after" {
  if (position < first) return "before";
  return position <= last ? "in" : "after";
}
