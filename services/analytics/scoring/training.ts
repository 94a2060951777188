import { setImmediate as nextTurn } from "node:timers/promises";
import type { Asking } from "../asking.ts";
import { DAY_MS } from "../rules.ts";
import { calibrate } from "./calibration.ts";
import type { Goal } from "./conversions.ts";
import { readSample, type Sample, slicesOf } from "./features.ts";
import type { Learnt, TrainingStatus } from "./model.ts";
import { logistic, oddsOf, train } from "./regression.ts";

/** Visitors who converted, and who did not, that it takes to learn; and to measure. */
export const FEWEST_TRAINED = 50;
export const FEWEST_HELD_OUT = 20;

/** A model must have so much less log loss than the base rate: less is luck. */
const BETTER = 0.99;

/** What to train. */
export interface Lesson {
  goal: Goal;
  horizonDays: number;
  zone: string;
  /** The table is complete until then, milliseconds since 1970. */
  until: number;
}

/** What came of it. */
export interface Outcome {
  status: TrainingStatus;
  reason: string;
  trainedFrom: number;
  heldOutFrom: number;
  sampled: number;
  learnt?: Learnt;
  /** What was too little, when it is refused. */
  thin?: { needs: number; where: string; positives: number; negatives: number };
}

/**
 * Trains on who converted within the horizon after the first cut-off, and measures on who did after the second one, a
 * horizon later and so near to now that its horizon has just passed. Nothing of the second time is in the training.
 */
export async function learn(asking: Asking, { goal, horizonDays, zone, until }: Lesson): Promise<Outcome> {
  const heldOutFrom = until - horizonDays * DAY_MS;
  const trainedFrom = heldOutFrom - horizonDays * DAY_MS;
  const slices = await slicesOf(asking);
  const cuts = { trainedFrom, heldOutFrom, sampled: slices.used / slices.of };
  const training = await sampleOf(asking, { goal, zone, cut: trainedFrom, end: heldOutFrom }, slices);
  const trained = countsOf(training);
  if (isThin(trained, FEWEST_TRAINED))
    return refused(cuts, { needs: FEWEST_TRAINED, where: "to learn from", ...trained });
  const heldOut = await sampleOf(asking, { goal, zone, cut: heldOutFrom, end: until }, slices);
  const held = countsOf(heldOut);
  if (isThin(held, FEWEST_HELD_OUT))
    return refused(cuts, { needs: FEWEST_HELD_OUT, where: "to be measured by", ...held });
  return { ...cuts, ...(await measured(training, heldOut)) };
}

/** Trains on one sample and measures on the other. */
export async function measured(
  training: Sample,
  heldOut: Sample,
): Promise<Pick<Outcome, "status" | "reason"> & { learnt: Learnt }> {
  const { positives } = countsOf(training);
  const visitors = training.labels.length;
  const baseRate = positives / visitors;
  const regression = await train(training);
  await nextTurn();
  const probabilities = Float64Array.from(heldOut.labels, (_label, index) =>
    logistic(oddsOf(regression, heldOut.values, index * heldOut.width)),
  );
  await nextTurn();
  const calibration = calibrate(probabilities, heldOut.labels, baseRate);
  const isBetter = calibration.logLoss < BETTER * calibration.baseLogLoss;
  const found = `log loss ${calibration.logLoss.toFixed(4)} against ${calibration.baseLogLoss.toFixed(4)} of the base rate`;
  return {
    status: isBetter ? "READY" : "BASE_RATE",
    reason: isBetter
      ? `On held-out visitors the model has ${found}: it is used.`
      : `On held-out visitors the model has ${found}: it is not better by 1%, so the base rate is answered.`,
    learnt: { regression, baseRate, visitors, positives, calibration },
  };
}

function refused(
  cuts: Pick<Outcome, "trainedFrom" | "heldOutFrom" | "sampled">,
  thin: NonNullable<Outcome["thin"]>,
): Outcome {
  const { needs, where, positives, negatives } = thin;
  const reason = `Needs ${needs} visitors ${where} who converted, and as many who did not; there are ${positives} and ${negatives}.`;
  return { ...cuts, status: "REFUSED", reason, thin };
}

function countsOf({ labels }: Sample) {
  const positives = labels.reduce((sum, label) => sum + label, 0);
  return { positives, negatives: labels.length - positives };
}

function isThin({ positives, negatives }: { positives: number; negatives: number }, needs: number): boolean {
  return positives < needs || negatives < needs;
}

/** Reads the parts one after the other, so that neither the engine nor other work waits long. */
async function sampleOf(
  asking: Asking,
  window: Parameters<typeof readSample>[1],
  { of, used }: { of: number; used: number },
): Promise<Sample> {
  const parts: Sample[] = [];
  for (let at = 0; at < used; at += 1) {
    parts.push(await readSample(asking, window, { at, of }));
    await nextTurn();
  }
  const visitors = parts.reduce((sum, { labels }) => sum + labels.length, 0);
  const width = parts[0]?.width ?? 0;
  const whole: Sample = { width, values: new Float64Array(visitors * width), labels: new Uint8Array(visitors) };
  let first = 0;
  for (const { values, labels } of parts) {
    whole.values.set(values, first * width);
    whole.labels.set(labels, first);
    first += labels.length;
  }
  return whole;
}
