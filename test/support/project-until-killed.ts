import { writeSync } from "node:fs";
import { runnerModels } from "#runtime/runner/models.ts";
import { runProjections } from "#runtime/runner.ts";
import { openMongoStore } from "#runtime/store.mongo.ts";
import { tallyModel, tallyProjection } from "./counted-words.ts";
import { listLog, wordEntries } from "./faults.ts";

// Runs the tally of so many words, with a lease, until it is killed, and says when it begins and ends to hold it.
// Arguments: address of the store, name of this process, number of words.
const [url, holder, words] = process.argv.slice(2) as [string, string, string];
const store = await openMongoStore({ url, models: [tallyModel, ...runnerModels] });
const log = listLog(wordEntries(Array.from({ length: Number(words) }, (_, index) => `word${index % 10}`)));
const runner = runProjections({ projections: [tallyProjection], store, log, now: Date.now, lease: { holder } });

let held: number | undefined;
setInterval(() => {
  const now = runner.gauges()["held.tally"];
  if (now !== held) writeSync(1, now === 1 ? "holds\n" : "waits\n");
  held = now;
}, 20);
