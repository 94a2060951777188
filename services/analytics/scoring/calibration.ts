/** Visitors whom a model gave similar probabilities. */
export interface Bin {
  visitors: number;
  predicted: number;
  observed: number;
}

/** How well probabilities held. */
export interface Calibration {
  visitors: number;
  positives: number;
  logLoss: number;
  baseLogLoss: number;
  brier: number;
  baseBrier: number;
  auc: number;
  expectedCalibrationError: number;
  bins: Bin[];
}

const BINS = 10;
/** No probability counts as more certain than this. */
const CERTAIN = 1e-12;

/**
 * Compares probabilities with what happened: `labels` are 1 for those who converted. `baseRate` is the probability that
 * one says who knows nothing of the visitor.
 */
export function calibrate(probabilities: Float64Array, labels: Uint8Array, baseRate: number): Calibration {
  const order = sorted(probabilities, labels);
  const visitors = labels.length;
  const sums = { positives: 0, logLoss: 0, baseLogLoss: 0, brier: 0, baseBrier: 0 };
  for (let index = 0; index < visitors; index += 1) {
    const [probability, label] = [probabilities[index] as number, labels[index] as number];
    sums.positives += label;
    sums.logLoss += lossOf(probability, label);
    sums.baseLogLoss += lossOf(baseRate, label);
    sums.brier += (probability - label) ** 2;
    sums.baseBrier += (baseRate - label) ** 2;
  }
  const mean = (sum: number): number => (visitors === 0 ? 0 : sum / visitors);
  const bins = binsOf(order);
  return {
    visitors,
    positives: sums.positives,
    logLoss: mean(sums.logLoss),
    baseLogLoss: mean(sums.baseLogLoss),
    brier: mean(sums.brier),
    baseBrier: mean(sums.baseBrier),
    auc: aucOf(order),
    expectedCalibrationError: mean(
      bins.reduce((sum, bin) => sum + bin.visitors * Math.abs(bin.predicted - bin.observed), 0),
    ),
    bins,
  };
}

/** −log of the probability of what happened. */
function lossOf(probability: number, label: number): number {
  const sure = Math.min(1 - CERTAIN, Math.max(CERTAIN, probability));
  return -Math.log(label === 1 ? sure : 1 - sure);
}

/** Visitors of one probability: how many, and how many of them converted. */
interface Tie {
  probability: number;
  visitors: number;
  positives: number;
}

/** Visitors by probability, the least first; those of the same are one. */
function sorted(probabilities: Float64Array, labels: Uint8Array): Tie[] {
  const [positive, negative] = [1, 0].map((label) =>
    probabilities.filter((_, index) => labels[index] === label).sort(),
  );
  const ties: Tie[] = [];
  for (let p = 0, n = 0; p < (positive?.length ?? 0) || n < (negative?.length ?? 0); ) {
    const probability = Math.min(positive?.[p] ?? Number.POSITIVE_INFINITY, negative?.[n] ?? Number.POSITIVE_INFINITY);
    const [beganP, beganN] = [p, n];
    while (positive?.[p] === probability) p += 1;
    while (negative?.[n] === probability) n += 1;
    ties.push({ probability, visitors: p - beganP + n - beganN, positives: p - beganP });
  }
  return ties;
}

/** The chance that one who converted had a higher probability than one who did not; the same counts half. */
function aucOf(ties: readonly Tie[]): number {
  let [below, won, positives, negatives] = [0, 0, 0, 0];
  for (const tie of ties) {
    const others = tie.visitors - tie.positives;
    won += tie.positives * (below + others / 2);
    below += others;
    positives += tie.positives;
    negatives += others;
  }
  return positives === 0 || negatives === 0 ? 0.5 : won / positives / negatives;
}

/** Bins of about equally many visitors; the same probability is never in two. */
function binsOf(ties: readonly Tie[]): Bin[] {
  const all = ties.reduce((sum, { visitors }) => sum + visitors, 0);
  const bins: Bin[] = [];
  let [visitors, predicted, observed, before] = [0, 0, 0, 0];
  for (const tie of ties) {
    visitors += tie.visitors;
    predicted += tie.visitors * tie.probability;
    observed += tie.positives;
    if (before + visitors < ((bins.length + 1) * all) / BINS) continue;
    bins.push({ visitors, predicted: predicted / visitors, observed: observed / visitors });
    before += visitors;
    [visitors, predicted, observed] = [0, 0, 0];
  }
  return bins;
}
