import { writeSync } from "node:fs";
import { openSqliteLog } from "#runtime/log.sqlite.ts";

// Appends to the log at the path given, eight at a time, and prints the id of each record that was acknowledged, until it is
// killed. Arguments: path, prefix of the ids.
const [path, prefix] = process.argv.slice(2) as [string, string];
const log = await openSqliteLog({ path });
writeSync(1, "ready\n");

async function appendForEver(lane: number): Promise<never> {
  for (let turn = 0; ; turn += 1) {
    const ids = [`${prefix}.${lane}.${turn}.a`, `${prefix}.${lane}.${turn}.b`];
    const records = ids.map((id) => ({ subject: "touches.marketing" as const, key: id, payload: Buffer.from(id) }));
    await log.append(records, `${prefix}.${lane}.${turn}`);
    writeSync(1, `${ids.join("\n")}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, (_, lane) => appendForEver(lane)));
