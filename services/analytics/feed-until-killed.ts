import { writeSync } from "node:fs";
import { openAnalyticsGround } from "./test-ground.ts";

// Feeds the table in the folder given from the log in it, until it is killed.
const [folder = ""] = process.argv.slice(2);
await openAnalyticsGround({ folder });
writeSync(1, "ready\n");
setInterval(() => {}, 1_000);
