import { type Client, makeGenericClientConstructor, type ServiceError } from "@grpc/grpc-js";
import { service as definition } from "grpc-health-check";
import type { Config } from "#runtime/config.ts";
import { openIdentity } from "#runtime/rpc/credentials.ts";
import { targetOf } from "#runtime/rpc/peers.ts";

/** How services that this process asks are doing. */
export interface PeerHealth {
  /** By service: "ok", or what is wrong. Never rejects. */
  look: () => Promise<Readonly<Record<string, string>>>;
  close: () => void;
}

/** A service that has not said within this time how it is does not answer. */
const DEADLINE_MS = 1_000;

type Check = (
  request: { service: string },
  options: { deadline: number },
  done: (error: ServiceError | null, reply?: { status: string }) => void,
) => void;

const HealthClient = makeGenericClientConstructor(definition, "Health");

/** Asks the standard health service of each peer; connects at the first look. */
export function openPeerHealth(given: {
  config: Pick<Config, "peers" | "tlsCert" | "tlsKey" | "tlsCa">;
  names: readonly string[];
}): PeerHealth {
  const { config, names } = given;
  const identity = openIdentity(config);
  const clients = new Map<string, Client>();
  const clientOf = (name: string): Client => {
    const known = clients.get(name) ?? new HealthClient(targetOf(config.peers, name), identity.channel);
    clients.set(name, known);
    return known;
  };
  return {
    look: async () => {
      const words = await Promise.all(names.map(async (name) => [name, await wordOf(clientOf(name), name)] as const));
      return Object.fromEntries(words);
    },
    close: () => {
      for (const client of clients.values()) client.close();
      identity.close();
    },
  };
}

function wordOf(client: Client, service: string): Promise<string> {
  const check = (client as unknown as { check: Check }).check.bind(client);
  return new Promise((resolve) => {
    check({ service }, { deadline: Date.now() + DEADLINE_MS }, (error, reply) => {
      if (error !== null) resolve("does not answer");
      else resolve(reply?.status === "SERVING" ? "ok" : "is not ready");
    });
  });
}
