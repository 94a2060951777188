import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type JetStreamClient, type JsMsg, jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { linesOf } from "./lines.ts";
import { type Output, openOutput } from "./output.ts";

const { values } = parseArgs({
  options: {
    nats: { type: "string", default: process.env.NATS_URL ?? "nats://127.0.0.1:4222" },
    out: { type: "string", default: "scans.ndjson" },
  },
});

const STREAM = "WAYMARK";
const SUBJECT = "waymark.touches.marketing.*";
const FETCH_MESSAGES = 200;
const FETCH_MS = 2000;
const AGAIN_MS = 500;

const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopping.abort());

const { host, username, password } = new URL(values.nats);
const connection = await connect({
  servers: host,
  // An inbox of its own: who may subscribe to all inboxes of an account hears what others are sent.
  ...(username !== "" && { user: username, pass: decodeURIComponent(password), inboxPrefix: `_INBOX_${username}` }),
  name: "scans-to-ndjson",
  maxReconnectAttempts: -1,
  waitOnFirstConnect: true,
  pingInterval: 5000,
  maxPingOut: 2,
});
const output = openOutput(values.out);
process.stderr.write(`from position ${output.position}\n`);

while (!stopping.signal.aborted) {
  try {
    await follow(jetstream(connection, { timeout: 3000 }), output);
  } catch (error) {
    // The server is away, or it forgot the consumer: begin anew behind the last position saved.
    process.stderr.write(`${error instanceof Error ? error.message : error}; trying again\n`);
    await delay(AGAIN_MS);
  }
}
output.close();
await connection.close();

/** Reads on from the saved position with an ordered consumer: no acknowledgements, nothing that the server must remember. */
async function follow(client: JetStreamClient, to: Output): Promise<void> {
  const consumer = await client.consumers.get(STREAM, { filter_subjects: SUBJECT, opt_start_seq: to.position + 1 });
  while (!stopping.signal.aborted) {
    const batch: JsMsg[] = [];
    for await (const message of await consumer.fetch({ max_messages: FETCH_MESSAGES, expires: FETCH_MS })) {
      batch.push(message);
      if (message.info.pending === 0) write(batch.splice(0), to);
    }
    write(batch, to);
  }
}

function write(batch: readonly JsMsg[], to: Output): void {
  const last = batch.at(-1);
  if (last !== undefined) to.write(batch.flatMap(({ data }) => linesOf(data)).join(""), last.seq);
}
