import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { addressReader, networkOf } from "./address.ts";

function request(remoteAddress: string, forwarded?: string): IncomingMessage {
  return { socket: { remoteAddress }, headers: { "x-forwarded-for": forwarded } } as unknown as IncomingMessage;
}

describe("the address of a caller", () => {
  const behind = addressReader(["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]);
  it.each([
    ["is the peer when no proxy is trusted", addressReader([]), request("198.51.100.7", "203.0.113.9"), "198.51.100.7"],
    ["is written as IPv4 on a dual-stack socket", addressReader([]), request("::ffff:198.51.100.7"), "198.51.100.7"],
    ["is the peer when it is no trusted proxy", behind, request("198.51.100.7", "203.0.113.9"), "198.51.100.7"],
    ["is what a trusted proxy says", behind, request("10.1.2.3", "203.0.113.9"), "203.0.113.9"],
    [
      "is the nearest stranger, whatever stands left of it",
      behind,
      request("10.1.2.3", "1.1.1.1, 203.0.113.9, 10.9.9.9"),
      "203.0.113.9",
    ],
    ["is the farthest proxy when all are trusted", behind, request("10.1.2.3", "10.0.0.1, 10.0.0.2"), "10.0.0.1"],
    [
      "does not go beyond what is no address",
      behind,
      request("10.1.2.3", "203.0.113.9, unknown, 10.0.0.2"),
      "10.0.0.2",
    ],
    ["comes without a port", behind, request("192.0.2.1", "203.0.113.9:4711"), "203.0.113.9"],
    ["comes without brackets", behind, request("2001:db8::5", "[2001:4860::8]:443"), "2001:4860::8"],
    ["is the proxy itself without the header", behind, request("10.1.2.3"), "10.1.2.3"],
    ["is empty on a socket that is gone", behind, request(""), ""],
  ])("%s", (_says, read, given, address) => {
    expect(read(given)).toBe(address);
  });
});

describe("what an address is limited by", () => {
  it("is the /64 of IPv6, so that one subscriber is one", () => {
    expect(networkOf("2001:4860:1:2::1")).toBe(networkOf("2001:4860:1:2:ffff::9"));
    expect(networkOf("2001:4860:1:2::1")).not.toBe(networkOf("2001:4860:1:3::1"));
  });

  it("is the address of IPv4", () => {
    expect(networkOf("203.0.113.9")).toBe("203.0.113.9");
  });
});
