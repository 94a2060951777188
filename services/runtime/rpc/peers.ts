import type { DescService } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import type { Peers } from "../config.ts";
import { createAffineTransport } from "./affinity.ts";
import { openIdentity, type TlsFiles } from "./credentials.ts";
import { type ClosableTransport, createGrpcTransport } from "./grpc-client.ts";

/** Ways to services in other processes. */
export interface PeerClients {
  /** The way to the process that serves it; connected at the first call and shared by all services of that process. */
  transportOf: (service: DescService) => Transport;
  close: () => void;
}

/**
 * Services of which each replica keeps data of its own: the calls of a workspace stay on one, or the pages of a listing would
 * come from histories that are not equally far.
 */
const AFFINE: readonly string[] = ["analytics"];

/** Name of the Waymark service that serves a proto service: the second part of its package, `waymark.scans.v1` → `scans`. */
export function ownerOf({ typeName }: DescService): string {
  const [product, owner, version] = typeName.split(".");
  if (product !== "waymark" || owner === undefined || version === undefined) {
    throw new Error(`${typeName} is not a service of Waymark's`);
  }
  return owner;
}

/** The gRPC target of a service: its own, or that of `*` with its name for {service}. */
export function targetOf(peers: Peers, name: string): string {
  const target = peers.get(name) ?? peers.get("*");
  if (target === undefined) throw new Error(`WAYMARK_PEERS does not say where ${name} is; add ${name}=… or *=…`);
  return target.replaceAll("{service}", name);
}

/** Opens the ways to other processes. `key` signs who calls; with `tls` both sides prove who they are. */
export function openPeers(given: { peers: Peers; key: Buffer; tls?: TlsFiles }): PeerClients {
  const { peers, key, tls = {} } = given;
  const identity = openIdentity(tls);
  const transports = new Map<string, ClosableTransport>();
  const open = (name: string): ClosableTransport => {
    const options = { target: targetOf(peers, name), key, credentials: identity.channel };
    const transport = AFFINE.includes(name) ? createAffineTransport(options) : createGrpcTransport(options);
    transports.set(name, transport);
    return transport;
  };
  return {
    transportOf: (service) => {
      const name = ownerOf(service);
      return transports.get(name) ?? open(name);
    },
    close: () => {
      for (const transport of transports.values()) transport.close();
      identity.close();
    },
  };
}
