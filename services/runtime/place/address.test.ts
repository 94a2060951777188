import { describe, expect, it } from "vitest";
import { type Address, formatAddress, parseAddress, truncateAddress } from "./address.ts";

describe("an address", () => {
  it.each([
    ["192.0.2.255", "192.0.2.255", "192.0.2.0"],
    ["0.0.0.0", "0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255", "255.255.255.0"],
    ["::ffff:192.0.2.9", "192.0.2.9", "192.0.2.0"],
    ["2001:DB8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"],
    ["fe80::1%eth0", "fe80::1", "fe80::"],
    ["::1", "::1", "::"],
  ])("%s is read as %s and truncated to %s", (ip, written, truncated) => {
    const address = parseAddress(ip) as Address;
    expect(formatAddress(address)).toBe(written);
    expect(formatAddress(truncateAddress(address))).toBe(truncated);
  });

  it.each([
    "",
    "1.2.3",
    "1.2.3.4.",
    ".1.2.3",
    "1..2.3",
    "256.1.1.1",
    "01.2.3.4",
    "1.2.3.4:80",
    "1.2.3.4 ",
    "x",
    "::g",
    "1:2:3:4:5:6:7:8:9",
  ])("%j is none", (text) => expect(parseAddress(text)).toBeUndefined());
});
