import { describe, expect, it } from "vitest";
import { truncateIp } from "#runtime/place/address.ts";
import type { AccessDoc } from "./model.ts";
import { clientOf, isLinked, NO_HASH, nextAccess, tidy } from "./rules.ts";

const NOTHING = { conditions: [], allergies: [], medications: [], emergencyContacts: [] };

describe("a profile", () => {
  it("loses the white space around its texts, and texts of white space alone", () => {
    const contact = { name: " John Doe ", relationship: " ", phone: " (555) 123-4567" };
    const given = { ...NOTHING, bloodType: " O+ ", conditions: [" Asthma", "  "], physician: "\t", organDonor: false };
    const kept = tidy({ ...given, emergencyContacts: [contact] });
    expect(kept).toEqual({
      ...NOTHING,
      bloodType: "O+",
      conditions: ["Asthma"],
      physician: undefined,
      organDonor: false,
      emergencyContacts: [{ name: "John Doe", relationship: undefined, phone: "(555) 123-4567" }],
    });
  });

  it("needs a name and a number for each contact, and repeats neither", () => {
    const contacts = [
      { name: "John", phone: "1" },
      { name: " ", phone: "555-0199" },
    ];
    const refused = () => tidy({ ...NOTHING, emergencyContacts: contacts });
    expect(refused).toThrow("emergency_contacts[1].name must not be blank");
    expect(refused).not.toThrow("555-0199");
  });
});

describe("who looked", () => {
  it.each([
    ["203.0.113.77", "203.0.113.0"],
    ["::ffff:203.0.113.77", "203.0.113.0"],
    ["2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "2001:db8:aaaa::"],
    ["", ""],
    ["somewhere", ""],
  ])("%j is kept as %j", (ip, kept) => {
    expect(truncateIp(ip)).toBe(kept);
  });

  const iphone =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

  it.each([
    [iphone, "Safari on iOS"],
    ["curl/8.5.0", "curl"],
    ["Mozilla/5.0", ""],
    ["not a user agent", ""],
    ["", ""],
  ])("user agent %j is kept as %j", (userAgent, kept) => {
    expect(clientOf(userAgent)).toBe(kept);
  });
});

describe("the chain of looks", () => {
  const look = (at: number) => ({ tagId: "tag_1", at, ip: "203.0.113.0", client: "Safari on iOS" });
  const first = nextAccess(undefined, look(1));
  const second = nextAccess(first, look(2));

  it("begins with zeros and goes on from the entry before", () => {
    expect(first).toMatchObject({ id: "tag_1/1", sequence: 1, previousHash: NO_HASH });
    expect(second).toMatchObject({ id: "tag_1/2", sequence: 2, previousHash: first.hash });
    expect(isLinked(undefined, first)).toBe(true);
    expect(isLinked(first, second)).toBe(true);
  });

  it.each([
    ["tagId", "tag_2"],
    ["sequence", 3],
    ["at", 3],
    ["ip", "198.51.100.0"],
    ["client", "Chrome"],
    ["previousHash", NO_HASH],
    ["hash", NO_HASH],
  ] as const)("breaks when %s is changed", (field, value) => {
    expect(isLinked(first, { ...second, [field]: value } as AccessDoc)).toBe(false);
  });

  it("breaks when an entry is taken out", () => {
    expect(isLinked(first, nextAccess(second, look(3)))).toBe(false);
    expect(isLinked(undefined, second)).toBe(false);
  });
});
