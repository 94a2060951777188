import { describe, expect, it } from "vitest";
import { normal, randomOf } from "../forecast/test-series.ts";
import type { Sample } from "./features.ts";
import { logistic, oddsOf, train } from "./regression.ts";
import { measured } from "./training.ts";

const TRUE = { intercept: -1.5, weights: [0.9, -0.6, 0, 0.3] };

/** Visitors who convert by a known model, or by lot when all its weights are 0. */
function sampleOf(visitors: number, seed: number, weights: readonly number[] = TRUE.weights): Sample {
  const random = randomOf(seed);
  const width = weights.length;
  const values = Float64Array.from({ length: visitors * width }, () => normal(random));
  const labels = Uint8Array.from({ length: visitors }, (_, visitor) => {
    const odds = weights.reduce(
      (sum, weight, at) => sum + weight * (values[visitor * width + at] as number),
      TRUE.intercept,
    );
    return random() < logistic(odds) ? 1 : 0;
  });
  return { width, values, labels };
}

describe("a logistic regression", () => {
  it("finds the model that made the data", async () => {
    const learnt = await train(sampleOf(20_000, 1));
    expect(Math.abs(learnt.intercept - TRUE.intercept)).toBeLessThan(0.1);
    for (const [index, weight] of TRUE.weights.entries())
      expect(Math.abs((learnt.weights[index] as number) - weight)).toBeLessThan(0.1);
    expect(learnt.weights.slice(0, 2).map(Math.sign)).toEqual([1, -1]);
  });

  it("is where the likelihood is highest: its slopes are nothing but the ridge", async () => {
    const sample = sampleOf(500, 2);
    const learnt = await train(sample);
    const slopes = new Array<number>(sample.width + 1).fill(0);
    for (const [visitor, label] of sample.labels.entries()) {
      const missed = label - logistic(oddsOf(learnt, sample.values, visitor * sample.width));
      slopes[0] = (slopes[0] as number) + missed;
      for (let at = 0; at < sample.width; at += 1) {
        const value = sample.values[visitor * sample.width + at] as number;
        const standard = (value - (learnt.means[at] as number)) / (learnt.scales[at] as number);
        slopes[at + 1] = (slopes[at + 1] as number) + missed * standard;
      }
    }
    for (const [index, slope] of slopes.entries())
      expect(slope).toBeCloseTo(index === 0 ? 0 : (learnt.weights[index - 1] ?? 0), 5);
  });

  it("is the same for the same data", async () => {
    expect(await train(sampleOf(3_000, 4))).toStrictEqual(await train(sampleOf(3_000, 4)));
  });

  it("bears a value that never varies, and data that a line parts", async () => {
    const values = Float64Array.from({ length: 400 }, (_, index) => (index % 2 === 0 ? 7 : index < 200 ? 0 : 1));
    const labels = Uint8Array.from({ length: 200 }, (_, visitor) => (visitor < 100 ? 0 : 1));
    const learnt = await train({ width: 2, values, labels });
    expect([learnt.scales[0], learnt.weights[0]]).toEqual([1, 0]);
    expect(learnt.weights[1]).toBeGreaterThan(1);
    expect(Number.isFinite(learnt.intercept)).toBe(true);
  });

  it("lets other work have its turn", async () => {
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 0);
    await train(sampleOf(40_000, 6));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });
});

describe("what is measured on data that was held out", () => {
  it("says that the probabilities of a good model hold", async () => {
    const { status, learnt } = await measured(sampleOf(8_000, 1), sampleOf(8_000, 2));
    const { calibration, baseRate } = learnt;
    expect(status).toBe("READY");
    expect(calibration.expectedCalibrationError).toBeLessThan(0.03);
    expect(calibration.auc).toBeGreaterThan(0.7);
    expect(calibration.logLoss).toBeLessThan(calibration.baseLogLoss);
    expect(calibration.brier).toBeLessThan(calibration.baseBrier);
    expect(calibration.bins).toHaveLength(10);
    for (const { predicted, observed } of calibration.bins) expect(Math.abs(predicted - observed)).toBeLessThan(0.08);
    expect(baseRate).toBeCloseTo(learnt.positives / learnt.visitors, 12);
  });

  it("says that a model that learnt from chance is not better than the base rate", async () => {
    for (const seed of [10, 20, 30, 40]) {
      const { status, reason } = await measured(sampleOf(2_000, seed, [0, 0, 0]), sampleOf(2_000, seed + 1, [0, 0, 0]));
      expect(status).toBe("BASE_RATE");
      expect(reason).toContain("the base rate is answered");
    }
  });
});
