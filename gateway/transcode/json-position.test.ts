import { expect, it } from "vitest";
import { jsonFaultAt } from "./json-position.ts";

it.each([
  ["", 1, 1],
  ["x", 1, 1],
  ["{", 1, 2],
  ['{"a":1,}', 1, 8],
  ['{"a" 1}', 1, 6],
  ['{"a":1 "b":2}', 1, 8],
  ["[1,2", 1, 5],
  ["[1,,2]", 1, 4],
  ["[1,]", 1, 4],
  ["[1}", 1, 3],
  ["{}x", 1, 3],
  ['{\n  "a": 1,\n  "b": tru\n}', 3, 8],
  ['["a\tb"]', 1, 2],
  ['["\\q"]', 1, 2],
  ["[01]", 1, 3],
  ["[1.]", 1, 3],
  ["[nul]", 1, 2],
  ["{1:2}", 1, 2],
  ['"open', 1, 1],
])("%j is wrong at line %i, column %i", (text, line, column) => {
  expect(() => JSON.parse(text)).toThrow();
  expect(jsonFaultAt(text)).toEqual({ line, column });
});

it("stays quick on millions of tokens and on one long string", () => {
  const start = performance.now();
  jsonFaultAt(`${"[".repeat(4_000_000)}x`);
  jsonFaultAt(`"${"\\n".repeat(4_000_000)}`);
  expect(performance.now() - start).toBeLessThan(3_000);
});
