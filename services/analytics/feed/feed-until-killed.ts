import { writeSync } from "node:fs";
import { openAnalyticsGround } from "../test-ground.ts";

// Feeds the table in the folder given from the log in it, and prints how far it is, until it is killed.
const [folder = ""] = process.argv.slice(2);
const { gauges } = await openAnalyticsGround({ folder });
let told = -1;
setInterval(() => {
  const position = gauges()["analytics.position"] ?? 0;
  if (position > told) writeSync(1, `${position}\n`);
  told = position;
}, 1);
