import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Finding, percentile } from "./report.ts";

const SCRIPT = join(import.meta.dirname, "feed-process.ts");

/** What the process says of its run. */
interface Told {
  seconds: number;
  asked: number[];
  totalEvents: number;
  rssMb: number;
}

/** How fast the analytics service takes in touches from the log into a file that has `before` people's events, while it is asked. */
export async function feed(given: { folder: string; touches: number; before: number }): Promise<Finding> {
  const { folder, touches, before } = given;
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, folder, String(touches)]);
  const told = JSON.parse(stdout) as Told;
  const missing = before + touches - told.totalEvents;
  return {
    name: "Feed while queries run",
    parameters: {
      touches,
      "events before": before,
      "touches an entry": 500,
      askers: 2,
      question: "30 days of a link by country",
    },
    figures: {
      "touches a second": Math.round(touches / told.seconds),
      "answers meanwhile": told.asked.length,
      "p95 of an answer": `${percentile(told.asked, 0.95).toFixed(1)} ms`,
      "resident memory": `${told.rssMb.toFixed(0)} MB`,
    },
    isVoid: missing === 0 ? undefined : `${missing} touches are missing`,
  };
}
