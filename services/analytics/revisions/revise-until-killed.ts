import { writeSync } from "node:fs";
import { openAnalyticsGround } from "../test-ground.ts";
import { revisionsOf } from "./tasks.ts";

// Works on the revision of the workspace and folder given, and prints how far it is, until it is killed.
const [folder = "", workspace = "", id = ""] = process.argv.slice(2);
const { store } = await openAnalyticsGround({ folder });
let told = "";
setInterval(async () => {
  const doc = await revisionsOf(store, workspace).get(id);
  const now = `${doc?.state} ${doc?.state === "applying" ? (doc.partsApplied ?? 0) : (doc?.progress ?? 0)}`;
  if (now !== told) writeSync(1, `${now}\n`);
  told = now;
}, 1);
