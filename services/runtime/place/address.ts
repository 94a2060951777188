import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** An internet address. IPv4 in its IPv6 form (`::ffff:192.0.2.1`) is an IPv4 address. */
export type Address = { version: 4; number: number } | { version: 6; bytes: readonly number[] };

/** Reads an address as text, "192.0.2.1" or "2001:db8::1"; undefined when it is none. A zone (`%eth0`) is not part of it. */
export function parseAddress(text: string): Address | undefined {
  const number = parseIpv4(text);
  if (number !== undefined) return { version: 4, number };
  if (text.length > 64 || !isIPv6(text)) return undefined;
  const zone = text.indexOf("%");
  const bytes = ipaddr.IPv6.parse(zone < 0 ? text : text.slice(0, zone)).toByteArray();
  const isMapped = bytes.every((byte, index) => index >= 12 || byte === (index < 10 ? 0 : 0xff));
  return isMapped ? { version: 4, number: numberOf(bytes.slice(12)) } : { version: 6, bytes };
}

/** The address with its end zeroed: the last octet of IPv4, the last 80 bits of IPv6. */
export function truncateAddress(address: Address): Address {
  if (address.version === 4) return { version: 4, number: (address.number & 0xffffff00) >>> 0 };
  return { version: 6, bytes: address.bytes.map((byte, index) => (index < 6 ? byte : 0)) };
}

/** An address as trails keep it, as text: with its end zeroed; empty when it is none. */
export function truncateIp(text: string): string {
  const address = parseAddress(text);
  return address === undefined ? "" : formatAddress(truncateAddress(address));
}

/** The address as text, in the one form that equal addresses share: "2001:db8::1" (RFC 5952). */
export function formatAddress(address: Address): string {
  if (address.version === 6) return ipaddr.fromByteArray([...address.bytes]).toString();
  const { number } = address;
  return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;
}

// By hand: it is on the way of every scan, and a general parser costs ten times as much.
function parseIpv4(text: string): number | undefined {
  const { length } = text;
  if (length < 7 || length > 15) return undefined;
  let number = 0;
  let octet = -1;
  let dots = 0;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === 46 && octet >= 0 && dots < 3) {
      number = number * 256 + octet;
      octet = -1;
      dots += 1;
    } else {
      if (code < 48 || code > 57 || octet === 0) return undefined;
      octet = Math.max(octet, 0) * 10 + code - 48;
      if (octet > 255) return undefined;
    }
  }
  return dots === 3 && octet >= 0 ? number * 256 + octet : undefined;
}

function numberOf(bytes: readonly number[]): number {
  return bytes.reduce((number, byte) => number * 256 + byte, 0);
}
