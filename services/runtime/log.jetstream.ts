import { jetstreamManager } from "@nats-io/jetstream";
import { refusalOf } from "./log/jetstream/fault.ts";
import { publisherOn } from "./log/jetstream/publisher.ts";
import { AppendQueue } from "./log/jetstream/queue.ts";
import { openReader } from "./log/jetstream/reader.ts";
import { checkVersion, ensureStream } from "./log/jetstream/stream.ts";
import { fail } from "./log/reasons.ts";
import type { Log } from "./log.ts";
import type { Nats } from "./nats.ts";

/** How to open a log on NATS. */
export interface JetStreamLogOptions {
  nats: Nats;
  /** Name of the stream. */
  stream?: string;
  /** First word of its subjects. */
  prefix?: string;
  /** Servers of the cluster that keep a copy. Default 1. */
  replicas?: number;
  /** 0, the default, keeps everything. */
  retentionDays?: number;
  /** Appends beyond so many bytes that wait for the servers are shed. Default 64 MB. */
  maxQueueBytes?: number;
  /** Appends beyond so many that wait for the servers are shed. Default 20,000. */
  maxQueueAppends?: number;
  /** An append that is not durable by then is refused. Default 10 s. */
  appendDeadlineMs?: number;
}

const ASK_MS = 3000;

/**
 * Opens the log in a stream of JetStream, making it at first use. A position is a sequence of the stream. Rejects with
 * LOG_UNAVAILABLE while the servers do not answer, and with a sentence for the operator when they keep the stream otherwise
 * than it must be. Closing the log leaves the connection open.
 */
export async function openJetStreamLog(options: JetStreamLogOptions): Promise<Log> {
  const { nats, stream = "WAYMARK", prefix = "waymark", replicas = 1, retentionDays = 0 } = options;
  const { maxQueueBytes = 64 * 1024 * 1024, maxQueueAppends = 20_000, appendDeadlineMs: deadlineMs = 10_000 } = options;
  const version = nats.connection.info?.version;
  if (version !== undefined) checkVersion(version);
  const { manager, created } = await answering(async () => {
    const manager = await jetstreamManager(nats.connection, { timeout: ASK_MS });
    const { created } = await ensureStream(manager, { stream, prefix, replicas, retentionDays });
    return { manager, created };
  });
  const publisher = publisherOn(nats);
  const queue = new AppendQueue({ nats, publisher, prefix, maxQueueBytes, maxQueueAppends, deadlineMs });
  const reader = openReader({ nats, manager, stream, prefix, created });
  return {
    append: (records, batchId) => (records.length === 0 ? reader.head() : queue.append(records, batchId)),
    read: reader.read,
    head: reader.head,
    start: reader.start,
    ping: async () => {
      if (!nats.isUp()) throw fail("LOG_UNAVAILABLE", { why: "NATS does not answer" });
      await answering(() => publisher.find({ subject: `${prefix}.log.ping.0`, id: "ping" }, ASK_MS));
    },
    close: async () => {
      await queue.close();
      reader.close();
    },
  };
}

// An Error of ours for the operator passes as it is.
async function answering<R>(ask: () => Promise<R>): Promise<R> {
  try {
    return await ask();
  } catch (error) {
    throw isSentence(error) ? error : refusalOf(error);
  }
}

function isSentence(error: unknown): boolean {
  return error instanceof Error && error.name === "Error";
}
