import { describe, expect, it } from "vitest";
import { trialOf } from "./backtest.ts";
import { type Forecast, forecast } from "./forecast.ts";
import { baseline, holtWinters } from "./holt-winters.ts";
import { SHAPES, type Shape, seriesOf } from "./test-series.ts";

const SEEDS = Array.from({ length: 40 }, (_, index) => 1 + index * 7_919);
const DAYS = 14;

/** Forecasts a shape by many seeds; `held`: share of the days to come that lay between low and high. */
function overSeeds(shape: Shape, days: number, level = 0.8) {
  const forecasts: Forecast[] = [];
  let held = 0;
  for (const seed of SEEDS) {
    const values = seriesOf(shape, { days: days + DAYS, seed });
    const made = forecast(values.slice(0, days), { days: DAYS, level });
    forecasts.push(made);
    for (const [index, { low, high }] of made.points.entries()) {
      const actual = values[days + index] as number;
      if (actual >= low && actual <= high) held += 1;
    }
  }
  const models = forecasts.filter(({ method }) => method !== "SEASONAL_BASELINE").length;
  const coverages = forecasts.flatMap(({ backtest }) => backtest.coverage ?? []);
  const told = coverages.reduce((sum, one) => sum + one, 0) / coverages.length;
  return { forecasts, models, held: held / SEEDS.length / DAYS, told };
}

describe("a forecast", () => {
  it.each([
    ["seasonal", 60, 0.8],
    ["seasonal", 180, 0.8],
    ["seasonal", 180, 0.95],
    ["growing", 180, 0.8],
    ["rising", 180, 0.8],
    ["noise", 60, 0.8],
  ] as const)("of a %s series of %i days holds about %f of the days to come, and says so", (name, days, level) => {
    const { held, told } = overSeeds(SHAPES[name], days, level);
    expect(Math.abs(held - level)).toBeLessThan(0.08);
    expect(Math.abs(told - level)).toBeLessThan(0.08);
  });

  it("of the shortest history holds about as many days as it should, and never claims more than it should", () => {
    const { held, told } = overSeeds(SHAPES.seasonal, 28);
    expect(Math.abs(held - 0.8)).toBeLessThan(0.08);
    expect(told).toBeLessThan(0.85);
    expect(told).toBeGreaterThan(0.65);
  });

  it("of a growing series is by the model, which misses by far less than the baseline", () => {
    const { forecasts, models } = overSeeds(SHAPES.growing, 180);
    expect(models).toBe(SEEDS.length);
    for (const { backtest } of forecasts) {
      expect(backtest.mae).toBeLessThan(0.8 * backtest.baselineMae);
      expect(backtest.mae).toBe(backtest.modelMae);
      expect(backtest.ratio).toBeCloseTo(backtest.mae / backtest.baselineMae, 12);
    }
  });

  it("falls back to the baseline on noise, and says so", () => {
    const { forecasts, models } = overSeeds(SHAPES.noise, 60);
    expect(models).toBeLessThan(SEEDS.length / 4);
    const fallen = forecasts.filter(({ method }) => method === "SEASONAL_BASELINE");
    for (const { backtest, reason } of fallen) {
      expect(reason).toMatch(/so the baseline is used/);
      expect(backtest.mae).toBe(backtest.baselineMae);
      expect(backtest.modelMae).toBeGreaterThanOrEqual(0.95 * backtest.baselineMae);
    }
  });

  it("never uses a model that is not better", () => {
    for (const shape of Object.values(SHAPES))
      for (const { method, backtest } of overSeeds(shape, 45).forecasts)
        if (method !== "SEASONAL_BASELINE") expect(backtest.modelMae).toBeLessThan(backtest.baselineMae);
  });

  it("is the same for the same series", () => {
    const values = seriesOf(SHAPES.rising, { days: 100, seed: 3 });
    expect(forecast(values, { days: 30, level: 0.9 })).toStrictEqual(forecast(values, { days: 30, level: 0.9 }));
  });

  it("has wider intervals for a higher level, never below 0, around what is expected", () => {
    for (const shape of [SHAPES.seasonal, () => 1]) {
      const values = seriesOf(shape, { days: 90, seed: 5 });
      const levels = [0.5, 0.6, 0.8, 0.95, 0.99].map((level) => forecast(values, { days: 40, level }).points);
      for (const [index, points] of levels.entries()) {
        for (const [day, { low, expected, high }] of points.entries()) {
          expect([low >= 0, low <= expected, expected <= high]).toEqual([true, true, true]);
          const narrower = levels[index - 1]?.[day];
          expect(low).toBeLessThanOrEqual(narrower?.low ?? low);
          expect(high).toBeGreaterThanOrEqual(narrower?.high ?? high);
        }
      }
    }
  });

  it("is not narrower for a later week of the same weekday", () => {
    const { points } = forecast(seriesOf(SHAPES.noise, { days: 60, seed: 11 }), { days: 90, level: 0.8 });
    for (const [day, { low, high, expected }] of points.entries()) {
      const later = points[day + 7];
      if (later?.expected === expected) expect(later.high - later.low).toBeGreaterThanOrEqual(high - low - 1e-9);
    }
    expect(points).toHaveLength(90);
  });

  it("of a series of zeros is zero, with a back-test that does not divide by nothing", () => {
    const { points, backtest } = forecast(new Array(40).fill(0), { days: 3, level: 0.8 });
    expect(points).toEqual(new Array(3).fill({ expected: 0, low: 0, high: 0 }));
    expect(backtest).toMatchObject({ mae: 0, ratio: 1, coverage: 1 });
    expect([backtest.mape, backtest.mase]).toEqual([undefined, undefined]);
  });

  it("of two years of days takes no longer than a turn may take", () => {
    const values = seriesOf(SHAPES.seasonal, { days: 730, seed: 1 });
    forecast(values, { days: 90, level: 0.9 });
    const times = [1, 2, 3].map(() => {
      const begin = performance.now();
      forecast(values, { days: 90, level: 0.9 });
      return performance.now() - begin;
    });
    expect(Math.min(...times)).toBeLessThan(50);
  });
});

describe("the baseline", () => {
  it("is the mean of the same weekday of the last four weeks that are known", () => {
    const values = Array.from({ length: 35 }, (_, day) => day);
    const { expect: at } = baseline(values);
    expect(at(34, 1)).toBe((28 + 21 + 14 + 7) / 4);
    expect(at(34, 8)).toBe((28 + 21 + 14 + 7) / 4);
    expect(at(20, 3)).toBe((16 + 9 + 2) / 3);
  });
});

describe("the model", () => {
  it("goes on with a weekly pattern that never changes", () => {
    const values = Array.from({ length: 70 }, (_, day) => 10 + (day % 7));
    for (const isLog of [false, true]) {
      const { expect: at } = holtWinters(values, { alpha: 0.2, beta: 0.05, gamma: 0.1, phi: 0.9, isLog });
      for (let ahead = 1; ahead <= 21; ahead += 1) expect(at(69, ahead)).toBeCloseTo(10 + ((69 + ahead) % 7), 0);
    }
  });

  it("knows nothing of the days after its origin", () => {
    const values = seriesOf(SHAPES.growing, { days: 80, seed: 2 });
    const smoothing = { alpha: 0.2, beta: 0.05, gamma: 0.1, phi: 0.9, isLog: false };
    const [whole, part] = [holtWinters(values, smoothing), holtWinters(values.slice(0, 51), smoothing)];
    for (let ahead = 1; ahead <= 20; ahead += 1) expect(whole.expect(50, ahead)).toBe(part.expect(50, ahead));
  });
});

it("is tried over the later half of a series, and over 24 weeks at most", () => {
  expect(trialOf(28, 14)).toEqual({ first: 13, horizon: 14 });
  expect(trialOf(28, 90)).toEqual({ first: 13, horizon: 14 });
  expect(trialOf(730, 90)).toEqual({ first: 561, horizon: 90 });
});
