import { createHash } from "node:crypto";
import { lookup as dnsLookup } from "node:dns/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { ChannelCredentials, ChannelOptions } from "@grpc/grpc-js";
import { type Channel, openChannel } from "./channel.ts";
import { type ClosableTransport, transportOver } from "./grpc-client.ts";

/** All addresses of a name, IPv4 and IPv6. */
export type Lookup = (host: string) => Promise<readonly string[]>;

/** How long an answer of DNS holds, and how long one is waited for. */
const FRESH_MS = 5_000;
const LOOKUP_MS = 2_000;

/**
 * A transport on which the calls of a workspace go to one replica as long as it answers, then to the next: which is which is
 * told by hashing workspace and address (rendezvous), so a replica that comes or goes moves its own workspaces only.
 */
export function createAffineTransport(given: {
  target: string;
  key: Buffer;
  credentials: ChannelCredentials;
  lookup?: Lookup;
}): ClosableTransport {
  const { target, key, credentials, lookup = lookupAll } = given;
  const addresses = openAddresses(target, lookup);
  const open = new Map<string, Known>();
  const channels = async (workspace: string): Promise<Channel[]> => {
    const { list, options } = await addresses();
    for (const [address, { channel }] of open) {
      if (list.includes(address)) continue;
      open.delete(address);
      channel.close();
    }
    const known = list.map((address) => {
      const one = open.get(address) ?? remembering(openChannel({ target: address, credentials, options }));
      open.set(address, one);
      return { one, rank: rankOf(workspace, address) };
    });
    known.sort((a, b) => Number(isDown(a.one)) - Number(isDown(b.one)) || (a.rank < b.rank ? -1 : 1));
    return known.map(({ one }) => one.channel);
  };
  const close = (): void => {
    for (const { channel } of open.values()) channel.close();
    open.clear();
  };
  return { ...transportOver({ key, channels: (context) => channels(context?.principal.workspace ?? "") }), close };
}

/** Rendezvous hashing: of all addresses the lowest rank is the workspace's own. */
export function rankOf(workspace: string, address: string): string {
  return createHash("sha1").update(`${workspace}\n${address}`).digest("hex");
}

interface Known {
  channel: Channel;
  failed: boolean;
}

/** A channel that remembers a call that did not come back until it is connected again. */
function remembering(channel: Channel): Known {
  const known: Known = {
    failed: false,
    channel: {
      ...channel,
      call: async (attempt) => {
        try {
          return await channel.call(attempt);
        } catch (error) {
          known.failed ||= !channel.isReady();
          throw error;
        }
      },
    },
  };
  return known;
}

/** A replica that failed goes to the end until it is there again: a connection that hangs must not hold up every call. */
function isDown(known: Known): boolean {
  if (known.failed && known.channel.isReady()) known.failed = false;
  return known.failed;
}

interface Addresses {
  /** Targets of grpc-js, one a replica. */
  list: readonly string[];
  /** What a certificate must name when the address is not the name. */
  options: ChannelOptions;
}

/** The replicas behind a target: those of an ipv4: or ipv6: list, or all addresses of a name, asked again as they age. */
function openAddresses(target: string, lookup: Lookup): () => Promise<Addresses> {
  const [, scheme, listed] = /^(ipv[46]):(.+)$/.exec(target) ?? [];
  if (listed !== undefined) {
    const fixed = { list: listed.split(",").map((address) => `${scheme}:${address}`), options: {} };
    return async () => fixed;
  }
  const [, host, port] = /^(?:dns:(?:\/\/[^/]*\/)?)?([^:/,\s]+):(\d+)$/.exec(target) ?? [];
  if (host === undefined) throw new Error(`${target} in WAYMARK_PEERS must be dns:///name:port or ipv4:address:port,…`);
  const options = { "grpc.ssl_target_name_override": host, "grpc.default_authority": `${host}:${port}` };
  let known: { at: number; list: readonly string[] } = { at: Number.NEGATIVE_INFINITY, list: [] };
  let asking: Promise<void> | undefined;
  const ask = async (): Promise<void> => {
    const found = await Promise.race([lookup(host), delay(LOOKUP_MS, undefined, { ref: false })]).catch(
      () => undefined,
    );
    // A name that cannot be told now had addresses before: they may still answer.
    const list =
      found === undefined ? known.list : [...new Set(found)].sort().map((address) => targetOf(address, port));
    known = { at: performance.now(), list };
    asking = undefined;
  };
  return async () => {
    const isFresh = performance.now() - known.at < (known.list.length > 0 ? FRESH_MS : 0);
    if (!isFresh) asking ??= ask();
    if (known.list.length === 0) await asking;
    return { list: known.list, options };
  };
}

function targetOf(address: string, port: string | undefined): string {
  return address.includes(":") ? `ipv6:[${address}]:${port}` : `ipv4:${address}:${port}`;
}

async function lookupAll(host: string): Promise<string[]> {
  const found = await dnsLookup(host, { all: true });
  return found.map(({ address }) => address);
}
