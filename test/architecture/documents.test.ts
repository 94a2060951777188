import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import "../../gateway/metrics.ts";
import { documents } from "./documents.ts";
import { ROOT } from "./source.ts";

it.each(Object.entries(await documents()))("%s says what the code says; `npm run docs` writes it", (path, text) => {
  const stored = existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), "utf8") : "";
  expect(stored).toBe(text);
});

it("each dependency has a line in docs/dependencies.md, and each line a dependency", () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const said = readFileSync(join(ROOT, "docs/dependencies.md"), "utf8").matchAll(/^\| `([^`]+)` \|/gm);
  const names = [...said].map((match) => match[1]);
  expect(names.sort()).toEqual(Object.keys({ ...dependencies, ...devDependencies }).sort());
});

it("pins every dependency to an exact version", () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(
    ([, version]) => !/^\d/.test(String(version)),
  );
  expect(loose).toEqual([]);
});
