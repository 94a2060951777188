import fc from "fast-check";
import { expect, it } from "vitest";
import { calibrate } from "./calibration.ts";

const pairs = fc.array(
  fc.record({ p: fc.constantFrom(0, 0.1, 0.25, 0.5, 0.5, 0.9, 1).map((p) => p), label: fc.constantFrom(0, 1) }),
  { minLength: 1, maxLength: 60 },
);

it("calibration is what plain code counts, pair by pair", () => {
  fc.assert(
    fc.property(pairs, (all) => {
      const got = calibrate(
        Float64Array.from(all, ({ p }) => p),
        Uint8Array.from(all, ({ label }) => label),
        0.3,
      );
      const loss = (p: number, label: number) => -Math.log(Math.max(1e-12, label === 1 ? p : 1 - p));
      const mean = (of: (one: { p: number; label: number }) => number) =>
        all.reduce((sum, one) => sum + of(one), 0) / all.length;
      expect(got.logLoss).toBeCloseTo(
        mean(({ p, label }) => loss(p, label)),
        3,
      );
      expect(got.baseLogLoss).toBeCloseTo(
        mean(({ label }) => loss(0.3, label)),
        9,
      );
      expect(got.brier).toBeCloseTo(
        mean(({ p, label }) => (p - label) ** 2),
        9,
      );
      expect(got.baseBrier).toBeCloseTo(
        mean(({ label }) => (0.3 - label) ** 2),
        9,
      );
      const [yes, no] = [all.filter(({ label }) => label === 1), all.filter(({ label }) => label === 0)];
      const won = yes.flatMap((one) => no.map(({ p }): number => (one.p > p ? 1 : one.p === p ? 0.5 : 0)));
      const auc = won.length === 0 ? 0.5 : won.reduce((sum, one) => sum + one, 0) / won.length;
      expect(got.auc).toBeCloseTo(auc, 9);
      expect(got.bins.reduce((sum, { visitors }) => sum + visitors, 0)).toBe(all.length);
      expect(got.bins.reduce((sum, bin) => sum + bin.visitors * bin.observed, 0)).toBeCloseTo(yes.length, 9);
      expect(got.bins.reduce((sum, bin) => sum + bin.visitors * bin.predicted, 0)).toBeCloseTo(
        mean(({ p }) => p) * all.length,
        9,
      );
      const error = got.bins.reduce((sum, bin) => sum + bin.visitors * Math.abs(bin.predicted - bin.observed), 0);
      expect(got.expectedCalibrationError).toBeCloseTo(error / all.length, 9);
    }),
    { numRuns: 100 },
  );
});

it("ten bins have equally many visitors where probabilities differ", () => {
  const probabilities = Float64Array.from({ length: 1_000 }, (_, index) => ((index * 617) % 1_000) / 1_000);
  const { bins } = calibrate(
    probabilities,
    Uint8Array.from(probabilities, (p) => (p > 0.5 ? 1 : 0)),
    0.5,
  );
  expect(bins.map(({ visitors }) => visitors)).toEqual(new Array(10).fill(100));
  expect(bins.map(({ observed }) => observed)).toEqual([0, 0, 0, 0, 0, 0.99, 1, 1, 1, 1]);
});
