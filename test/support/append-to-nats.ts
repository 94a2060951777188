import { openJetStreamLog } from "#runtime/log.jetstream.ts";
import { openNats } from "#runtime/nats.ts";

// Appends to the log on the NATS server given, eight at a time, and prints the id of each record that was acknowledged, until it
// is killed. Arguments: URL, prefix of the ids.
const [url, prefix] = process.argv.slice(2) as [string, string];
const nats = await openNats({ urls: [url], name: prefix });
const log = await openJetStreamLog({ nats });
process.stdout.write("ready\n");

async function appendForEver(lane: number): Promise<never> {
  for (let turn = 0; ; turn += 1) {
    const ids = [`${prefix}.${lane}.${turn}.a`, `${prefix}.${lane}.${turn}.b`];
    const records = ids.map((id) => ({ subject: "touches.marketing" as const, key: id, payload: Buffer.from(id) }));
    await log.append(records, `${prefix}.${lane}.${turn}`);
    process.stdout.write(`${ids.join("\n")}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, (_, lane) => appendForEver(lane)));
