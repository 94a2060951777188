import { setTimeout as delay } from "node:timers/promises";
import { type ConnectionOptions, connect, type NatsConnection } from "@nats-io/transport-node";
import type { Gossip } from "./gossip.ts";
import { fail } from "./log/reasons.ts";
import type { Logger } from "./logger.ts";
import { openGossip } from "./nats/gossip.ts";
import { type Link, watchLink } from "./nats/link.ts";
import { serversOf } from "./nats/servers.ts";

/** How to reach NATS. */
export interface NatsOptions {
  /** nats:// or tls://, with user and password where the servers ask for them. */
  urls: readonly string[];
  /** Names this process to the servers' operator. */
  name: string;
  /** Begins the subjects of gossip. Default "waymark". */
  prefix?: string;
  /** Told when the connection goes and comes. */
  log?: Pick<Logger, "info" | "warn">;
}

/** The connection of this process to NATS. It reconnects without end until it is closed. */
export interface Nats extends Link {
  /** For the engines that stand on NATS. */
  connection: NatsConnection;
  gossip: Gossip;
  close: () => Promise<void>;
}

const PATIENCE_MS = 10_000;
const AGAIN_MS = 250;
const CLOSE_MS = 2000;

/** What the client does on its own: it finds a dead connection by pings and reconnects for ever, soon and not in step with others. */
const HOLDING = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 100,
  reconnectJitter: 200,
  reconnectJitterTLS: 400,
  ignoreAuthErrorAbort: true,
  pingInterval: 5000,
  maxPingOut: 2,
  timeout: 2000,
  noEcho: true,
} as const satisfies ConnectionOptions;

/** Connects, waiting some seconds for servers that are not there yet. Rejects with LOG_UNAVAILABLE, which names no address and no user. */
export async function openNats({ urls, name, prefix = "waymark", log }: NatsOptions): Promise<Nats> {
  const connection = await connectPatiently({ ...HOLDING, ...serversOf(urls), name });
  const link = watchLink(connection, log);
  return {
    ...link,
    connection,
    gossip: openGossip(connection, { prefix, isUp: link.isUp }),
    close: async () => {
      link.stop();
      await Promise.race([
        connection.drain().catch(() => connection.close()),
        delay(CLOSE_MS, undefined, { ref: false }),
      ]);
      await connection.close();
    },
  };
}

// The client's own waiting for the first connection has no end and cannot be called off.
async function connectPatiently(options: ConnectionOptions): Promise<NatsConnection> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await connect(options);
    } catch (cause) {
      if (isRefusal(cause)) throw fail("LOG_UNAVAILABLE", { why: "NATS refuses this user" }, cause);
      if (performance.now() > until) throw fail("LOG_UNAVAILABLE", { why: "NATS cannot be reached" }, cause);
      await delay(AGAIN_MS);
    }
  }
}

function isRefusal(cause: unknown): boolean {
  return cause instanceof Error && cause.name === "AuthorizationError";
}
