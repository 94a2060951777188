import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { dialects } from "../../gateway/dialects/table.ts";
import { compileRoutes } from "../../gateway/routes.ts";
import { contract } from "../../services/contract.ts";
import { ROOT, sources } from "./source.ts";

const text = readFileSync(join(ROOT, "docs/analytics.md"), "utf8");
const [, table = ""] = text.split("## What the vendor's page names");
const rows = table.split("\n").filter((line) => line.startsWith("|") && line.includes("`"));
const { match } = compileRoutes(contract, dialects);

it("each capability names endpoints that there are, and tests that there are", () => {
  expect(rows.length).toBeGreaterThan(20);
  const missing = rows.flatMap((row) => {
    const words = [...row.matchAll(/`([^`]+)`/g)].map((found) => found[1] ?? "");
    const paths = words.filter((word) => /^(GET|POST|PUT|PATCH|DELETE) \/v1\//.test(word));
    const tests = words.filter((word) => word.endsWith(".test.ts"));
    const nowhere = paths.filter((word) => {
      const [method = "", path = ""] = word.split(" ");
      return match(method, `/analytics${path.replace(/\{\w+\}/g, "x")}`).kind !== "route";
    });
    return [
      ...nowhere,
      ...tests.filter((path) => !existsSync(join(ROOT, path))),
      ...(tests.length > 0 || row.includes("/limits") ? [] : [row]),
    ];
  });
  expect(missing).toEqual([]);
});

it("each heading that an explanation names is there", () => {
  const anchors = new Set(
    [...text.matchAll(/^## (.+)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^a-z0-9 -]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
  const named = sources()
    .filter(({ path }) => path.startsWith("services/analytics/") && !path.endsWith(".test.ts"))
    .flatMap(({ text: code }) => [...code.matchAll(/definition: "([a-z-]+)"/g)].map((found) => found[1] ?? ""));
  expect(named.length).toBeGreaterThan(10);
  expect([...new Set(named)].filter((one) => !anchors.has(one))).toEqual([]);
});
