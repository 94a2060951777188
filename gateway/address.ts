import type { IncomingMessage } from "node:http";
import ipaddr from "ipaddr.js";

type Range = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/**
 * Reads the address of a caller. X-Forwarded-For is believed only as far as trusted proxies wrote it: from right to left,
 * up to the first address that is not one of them.
 */
export function addressReader(trustedProxies: readonly string[]): (request: IncomingMessage) => string {
  const trusted = trustedProxies.map(rangeOf);
  return (request) => {
    const peer = plain(request.socket.remoteAddress ?? "");
    if (trusted.length === 0 || !isTrusted(peer, trusted)) return peer;
    const forwarded = request.headers["x-forwarded-for"];
    const hops = (Array.isArray(forwarded) ? forwarded.join(",") : (forwarded ?? "")).split(",");
    return nearestStranger(peer, hops, trusted);
  };
}

/** What an address is limited by: itself, or the /64 of an IPv6 address, because one subscriber has all of it. */
export function networkOf(ip: string): string {
  if (!ip.includes(":") || !ipaddr.IPv6.isValid(ip)) return ip;
  return `${ipaddr.IPv6.parse(ip).parts.slice(0, 4).join(":")}/64`;
}

function nearestStranger(peer: string, hops: readonly string[], trusted: readonly Range[]): string {
  let nearest = peer;
  for (const hop of hops.toReversed()) {
    const address = withoutPort(hop.trim());
    if (!ipaddr.isValid(address)) break;
    nearest = ipaddr.process(address).toString();
    if (!isTrusted(nearest, trusted)) break;
  }
  return nearest;
}

/** "203.0.113.7:4711" → "203.0.113.7", "[2001:db8::1]:443" → "2001:db8::1". */
function withoutPort(hop: string): string {
  const match = /^\[([^\]]+)\](?::\d+)?$/.exec(hop) ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop);
  return match?.[1] ?? hop;
}

/** "::ffff:127.0.0.1" → "127.0.0.1": a dual-stack socket's way of writing IPv4. */
function plain(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

function rangeOf(text: string): Range {
  if (text.includes("/")) return ipaddr.parseCIDR(text);
  const address = ipaddr.process(text);
  return [address, address.kind() === "ipv4" ? 32 : 128];
}

function isTrusted(address: string, trusted: readonly Range[]): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  return trusted.some(([range, bits]) => {
    if (parsed instanceof ipaddr.IPv4) return range instanceof ipaddr.IPv4 && parsed.match(range, bits);
    return range instanceof ipaddr.IPv6 && parsed.match(range, bits);
  });
}
