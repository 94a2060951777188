import { setImmediate as nextTurn } from "node:timers/promises";
import type { Sample } from "./features.ts";

/** A logistic regression over standardised values: log-odds = intercept + Σ weight × (value − mean) / scale. */
export interface Regression {
  intercept: number;
  weights: readonly number[];
  means: readonly number[];
  scales: readonly number[];
}

/** How strongly weights are drawn to 0, as so many visitors' worth; the intercept is not. */
const RIDGE = 1;
const MOST_STEPS = 25;
const SMALL = 1e-9;

/** Visitors between two turns of other work. */
const TURN_ROWS = 4_096;

/** The probability of log-odds. */
export function logistic(odds: number): number {
  return odds >= 0 ? 1 / (1 + Math.exp(-odds)) : Math.exp(odds) / (1 + Math.exp(odds));
}

/** Log-odds of one visitor's transformed values. */
export function oddsOf(
  { intercept, weights, means, scales }: Regression,
  values: ArrayLike<number>,
  begin = 0,
): number {
  let odds = intercept;
  for (const [index, weight] of weights.entries())
    odds += (weight * ((values[begin + index] as number) - (means[index] as number))) / (scales[index] as number);
  return odds;
}

/**
 * Learns by Newton's method with a ridge, in slices: other work has its turn every few thousand visitors. The same sample
 * gives the same weights.
 */
export async function train(sample: Sample): Promise<Regression> {
  const { width, labels } = sample;
  const { means, scales } = momentsOf(sample);
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const rate = (positives + 0.5) / (labels.length + 1);
  let beta = new Float64Array(width + 1);
  beta[0] = Math.log(rate / (1 - rate));
  for (let step = 0; step < MOST_STEPS; step += 1) {
    const { gradient, hessian } = await slopes(sample, { beta, means, scales });
    const change = solve(hessian, gradient);
    beta = beta.map((value, index) => value + (change[index] as number));
    if (change.every((value) => Math.abs(value) < SMALL)) break;
  }
  return { intercept: beta[0] as number, weights: [...beta.subarray(1)], means, scales };
}

/** Means and standard deviations; a value that is the same for all has the scale 1. */
function momentsOf({ width, values, labels }: Sample) {
  const means = new Array<number>(width).fill(0);
  const squares = new Array<number>(width).fill(0);
  for (let index = 0; index < values.length; index += 1)
    means[index % width] = (means[index % width] as number) + (values[index] as number);
  for (let column = 0; column < width; column += 1)
    means[column] = (means[column] as number) / Math.max(1, labels.length);
  for (let index = 0; index < values.length; index += 1) {
    const column = index % width;
    squares[column] = (squares[column] as number) + ((values[index] as number) - (means[column] as number)) ** 2;
  }
  const scales = squares.map((square) => {
    const scale = Math.sqrt(square / Math.max(1, labels.length));
    return scale < SMALL ? 1 : scale;
  });
  return { means, scales };
}

interface Point {
  beta: Float64Array;
  means: readonly number[];
  scales: readonly number[];
}

/** Gradient and (negative) second derivatives of the log-likelihood with the ridge. */
async function slopes({ width, values, labels }: Sample, { beta, means, scales }: Point) {
  const size = width + 1;
  const gradient = new Float64Array(size);
  const hessian = Array.from({ length: size }, () => new Float64Array(size));
  for (let column = 1; column < size; column += 1) {
    gradient[column] = -RIDGE * (beta[column] as number);
    (hessian[column] as Float64Array)[column] = RIDGE;
  }
  const row = new Float64Array(size);
  row[0] = 1;
  for (let visitor = 0; visitor < labels.length; visitor += 1) {
    let odds = beta[0] as number;
    for (let column = 0; column < width; column += 1) {
      const value =
        ((values[visitor * width + column] as number) - (means[column] as number)) / (scales[column] as number);
      row[column + 1] = value;
      odds += value * (beta[column + 1] as number);
    }
    add(row, { gradient, hessian, probability: logistic(odds), label: labels[visitor] as number });
    if (visitor % TURN_ROWS === TURN_ROWS - 1) await nextTurn();
  }
  return { gradient, hessian };
}

interface Sums {
  gradient: Float64Array;
  hessian: readonly Float64Array[];
  probability: number;
  label: number;
}

function add(row: Float64Array, { gradient, hessian, probability, label }: Sums): void {
  const spread = probability * (1 - probability);
  for (let one = 0; one < row.length; one += 1) {
    const value = row[one] as number;
    gradient[one] = (gradient[one] as number) + value * (label - probability);
    const line = hessian[one] as Float64Array;
    for (let other = 0; other <= one; other += 1)
      line[other] = (line[other] as number) + spread * value * (row[other] as number);
  }
}

/** Solves A x = b by Cholesky's decomposition; A is symmetric and positive definite, its lower half is given. */
function solve(matrix: readonly Float64Array[], vector: Float64Array): Float64Array {
  const size = vector.length;
  const lower = matrix.map((line) => Float64Array.from(line));
  const at = (row: number, column: number): number => lower[row]?.[column] as number;
  for (let row = 0; row < size; row += 1) {
    for (let column = 0; column <= row; column += 1) {
      let sum = at(row, column);
      for (let k = 0; k < column; k += 1) sum -= at(row, k) * at(column, k);
      (lower[row] as Float64Array)[column] =
        row === column ? Math.sqrt(Math.max(sum, SMALL)) : sum / at(column, column);
    }
  }
  const half = new Float64Array(size);
  for (let row = 0; row < size; row += 1) {
    let sum = vector[row] as number;
    for (let k = 0; k < row; k += 1) sum -= at(row, k) * (half[k] as number);
    half[row] = sum / at(row, row);
  }
  const solution = new Float64Array(size);
  for (let row = size - 1; row >= 0; row -= 1) {
    let sum = half[row] as number;
    for (let k = row + 1; k < size; k += 1) sum -= at(k, row) * (solution[k] as number);
    solution[row] = sum / at(row, row);
  }
  return solution;
}
