import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CHART, read } from "./chart.ts";
import { valuesTable } from "./comments.ts";

// Writes the table of values into the chart's README: `node test/chart/write-readme.ts`.
const readme = read("charts/waymark/README.md");
const table = /\| value \|[\s\S]*?(?=\n\n|\n*$)/;
writeFileSync(
  join(CHART, "README.md"),
  readme.replace(table, () => valuesTable()),
);
