import { expect, it } from "vitest";
import { percentOf } from "./percent.ts";

it.each([
  ["nothing of nothing", 0, 0, 0],
  ["something of nothing", 3, 0, 0],
  ["two decimals", 2, 3, 66.67],
  ["a tie, upwards", 1, 32, 3.13],
  ["a tie that a share in binary falls short of", 201, 20_000, 1.01],
  ["a loss, halves towards the greater", -1, 32, -3.12],
  ["more than the whole", 3, 1, 300],
])("%s", (_case, part, whole, percent) => {
  expect(percentOf(part, whole)).toBe(percent);
});
