import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { registry } from "../../services/registry.ts";
import { ROOT } from "./source.ts";

const union = readFileSync(join(ROOT, "services/runtime/log.ts"), "utf8").match(
  /export type Subject =([\s\S]*?);/,
)?.[1];
const subjects = [...(union ?? "").matchAll(/"([a-z_.]+)"/g)].map((match) => match[1] as string);

it("docs/events.md describes every subject of the log, and no other", () => {
  const table = readFileSync(join(ROOT, "docs/events.md"), "utf8").matchAll(/^\| `([a-z_.]+)` \|/gm);
  expect([...table].map((match) => match[1]).sort()).toEqual([...subjects].sort());
});

it("each subject is published by a service", () => {
  const published = new Set(registry.flatMap(({ publishes }) => publishes as readonly string[]));
  expect(subjects.filter((subject) => !published.has(subject))).toEqual([]);
});

it("a projection reads only what its service says that it consumes", () => {
  const unsaid = registry.flatMap(({ name, consumes, projections = [] }) =>
    projections.flatMap((projection) =>
      projection.subjects.filter((subject) => !consumes.includes(subject)).map((subject) => `${name} reads ${subject}`),
    ),
  );
  expect(unsaid).toEqual([]);
});

it("only the service that counts everything reads more than its own purpose", () => {
  const marketing = registry.filter(({ consumes }) => consumes.includes("touches.marketing")).map(({ name }) => name);
  const medical = registry.filter(({ consumes }) => consumes.includes("touches.medical")).map(({ name }) => name);
  expect(marketing.sort()).toEqual(["analytics", "scans"]);
  expect(medical.sort()).toEqual(["scans", "tags"]);
});
