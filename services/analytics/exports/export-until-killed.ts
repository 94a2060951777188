import { writeSync } from "node:fs";
import { ExportService } from "#gen/waymark/analytics/v1/exports_pb.ts";
import { openAnalyticsGround } from "../test-ground.ts";

// Begins an export in the folder given, and prints its id once it is being made, until it is killed.
const [folder = ""] = process.argv.slice(2);
const { client, by, gauges } = await openAnalyticsGround({ folder });
const { export: begun } = await client(ExportService).createExport({ format: "NDJSON", compression: "GZIP" }, by());
const looking = setInterval(() => {
  if (gauges()["analytics.exports"] !== 1) return;
  clearInterval(looking);
  writeSync(1, `${begun?.id}\n`);
}, 1);
setInterval(() => {}, 1_000);
