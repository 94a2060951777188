import { describe, expect, it } from "vitest";
import { reasonOf } from "#runtime/failure.ts";
import { truncateIp } from "#runtime/place/address.ts";
import type { KeyDoc } from "./model.ts";
import {
  checkAllowList,
  checkExpiry,
  checkTimezone,
  decodeCursor,
  encodeCursor,
  endOfSecret,
  hashesOf,
  isAllowed,
  readOrigins,
  refusalOf,
  replacedSecrets,
  secretFrom,
} from "./rules.ts";

const NOW = Date.UTC(2026, 10, 24, 12);

/** The reason of what `work` throws, with its facts; "passes" when it does not throw. */
function outcome(work: () => unknown): string {
  try {
    work();
    return "passes";
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    return [reason.reason, reason.metadata.field].filter((part) => part !== undefined).join(" ");
  }
}

describe("an allow-list", () => {
  it.each<[string, string, boolean]>([
    ["192.0.2.7", "192.0.2.7", true],
    ["192.0.2.8", "192.0.2.7", false],
    ["192.0.2.255", "192.0.2.0/24", true],
    ["192.0.3.0", "192.0.2.0/24", false],
    ["192.0.3.0", "192.0.2.99/23", true],
    ["8.8.8.8", "0.0.0.0/0", true],
    ["::ffff:192.0.2.7", "192.0.2.0/24", true],
    ["::ffff:192.0.2.7", "192.0.2.7", true],
    ["192.0.2.7", "::ffff:192.0.2.7", true],
    ["192.0.2.7", "::ffff:192.0.2.0/120", true],
    ["192.0.3.7", "::ffff:192.0.2.0/120", false],
    ["192.0.3.7", "::ffff:0:0/96", true],
    ["2001:db8::1", "2001:db8::/32", true],
    ["2001:db9::1", "2001:db8::/32", false],
    ["2001:DB8:0:0::1", "2001:db8::1", true],
    ["2001:db8::2", "2001:db8::1", false],
    ["2001:db8::2", "::/0", true],
    ["192.0.2.7", "::/0", false],
    ["2001:db8::1", "0.0.0.0/0", false],
    ["", "0.0.0.0/0", false],
    ["unknown", "0.0.0.0/0", false],
  ])("%j on [%s]: %s", (ip, entry, expected) => {
    checkAllowList([entry]);
    expect(isAllowed(ip, [entry])).toBe(expected);
    expect(isAllowed(ip, ["198.51.100.1", entry])).toBe(expected);
  });

  it("that is empty allows all", () => {
    expect(isAllowed("", [])).toBe(true);
    expect(isAllowed("192.0.2.7", [])).toBe(true);
  });

  it.each([
    "",
    "localhost",
    "1.2.3",
    "10",
    "0x7f.0.0.1",
    "010.0.0.1",
    "1.2.3.256",
    "1.2.3.4/33",
    "1.2.3.4/",
    "1.2.3.4/24/8",
    "1.2.3.4/-1",
    " 1.2.3.4",
    "1.2.3.4,1.2.3.5",
    "2001:db8::/129",
    "2001:db8::/",
    "fe80::1%eth0",
    "[::1]",
    "*",
  ])("does not take %j", (entry) => {
    expect(outcome(() => checkAllowList(["192.0.2.0/24", entry]))).toBe("ADDRESS_INVALID ip_allow_list[1]");
  });
});

describe("origins", () => {
  it.each([
    ["https://shop.example", "https://shop.example"],
    ["https://Shop.Example", "https://shop.example"],
    ["https://shop.example:443", "https://shop.example"],
    ["http://localhost:3000", "http://localhost:3000"],
  ])("%s is kept as browsers send it: %s", (given, expected) => expect(readOrigins([given])).toEqual([expected]));

  it.each([
    "",
    "*",
    "null",
    "shop.example",
    "https://shop.example/",
    "https://a b",
    "ftp://x",
    "https://x:99999",
    "https://u@x",
  ])("do not take %j", (origin) => expect(outcome(() => readOrigins([origin]))).toBe("ORIGIN_INVALID origins[0]"));
});

const key: KeyDoc = {
  id: "key_1",
  name: "",
  class: "production",
  scopes: [],
  prefix: "wmk_",
  hash: "present",
  previous: [
    { hash: "earlier", until: NOW + 1 },
    { hash: "ended", until: NOW },
  ],
  ipAllowList: [],
  origins: [],
  createdAt: 0,
};
const call = { hash: "present", ip: "192.0.2.7", origin: "https://shop.example", now: NOW };

describe("a key is refused", () => {
  it.each<[string, Partial<KeyDoc>, Partial<typeof call>, string | undefined]>([
    ["never, when it is well", {}, {}, undefined],
    ["when it is revoked", { revokedAt: NOW - 1 }, {}, "KEY_REVOKED"],
    ["when it is revoked, from a wrong address too", { revokedAt: 1, ipAllowList: ["::1"] }, {}, "KEY_REVOKED"],
    ["at its end", { expiresAt: NOW }, {}, "KEY_REVOKED"],
    ["not a millisecond before its end", { expiresAt: NOW + 1 }, {}, undefined],
    ["not with a secret that overlaps", {}, { hash: "earlier" }, undefined],
    ["with a secret at the end of its overlap", {}, { hash: "ended" }, "KEY_REVOKED"],
    ["with a secret it never had", {}, { hash: "other" }, "KEY_REVOKED"],
    ["without earlier secrets for a wrong one", { previous: undefined }, { hash: "earlier" }, "KEY_REVOKED"],
    ["from an address that is not on the list", { ipAllowList: ["198.51.100.0/24"] }, {}, "ADDRESS_NOT_ALLOWED"],
    ["from nowhere", { ipAllowList: ["0.0.0.0/0"] }, { ip: "" }, "ADDRESS_NOT_ALLOWED"],
    ["not from one that is", { ipAllowList: ["192.0.2.0/24"] }, {}, undefined],
    ["from another origin", { class: "publishable", origins: ["https://x.example"] }, {}, "ORIGIN_NOT_ALLOWED"],
    [
      "without an origin",
      { class: "publishable", origins: ["https://x.example"] },
      { origin: "" },
      "ORIGIN_NOT_ALLOWED",
    ],
    ["not from its origin", { class: "publishable", origins: ["https://shop.example"] }, {}, undefined],
    ["not for an origin when it is no browser's", { origins: ["https://x.example"] }, {}, undefined],
  ])("%s", (_case, of, by, expected) => {
    expect(refusalOf({ ...key, ...of }, { ...call, ...by })).toBe(expected);
  });

  it("knows when an earlier secret ends", () => {
    expect(endOfSecret(key, { hash: "earlier", now: NOW })).toBe(NOW + 1);
    expect(endOfSecret(key, { hash: "earlier", now: NOW + 1 })).toBeUndefined();
    expect(endOfSecret(key, { hash: "present", now: NOW })).toBeUndefined();
  });
});

describe("rotation", () => {
  const secondsOf = (previous: KeyDoc["previous"]) => previous?.map(({ hash, until }) => [hash, (until - NOW) / 1000]);

  it.each<[string, [string, number][], number, [string, number][]]>([
    ["keeps the secret for the overlap", [], 60, [["present", 60]]],
    ["without overlap ends it at once", [], 0, []],
    [
      "leaves an earlier one its own end",
      [["a", 30]],
      60,
      [
        ["present", 60],
        ["a", 30],
      ],
    ],
    [
      "brings an earlier one's end forward",
      [["a", 90]],
      60,
      [
        ["present", 60],
        ["a", 60],
      ],
    ],
    ["without overlap ends all", [["a", 90]], 0, []],
    [
      "forgets what has ended",
      [
        ["a", 0],
        ["b", -5],
      ],
      60,
      [["present", 60]],
    ],
  ])("%s", (_case, earlier, overlapSeconds, expected) => {
    const previous = earlier.map(([hash, seconds]) => ({ hash, until: NOW + seconds * 1000 }));
    expect(secondsOf(replacedSecrets({ ...key, previous }, { overlapSeconds, now: NOW }))).toEqual(expected);
  });

  it("refuses an eleventh secret, and takes it without overlap", () => {
    const previous = Array.from({ length: 10 }, (_, index) => ({ hash: `h${index}`, until: NOW + 1000 }));
    const rotate = (overlapSeconds: number) => replacedSecrets({ ...key, previous }, { overlapSeconds, now: NOW });
    expect(outcome(() => rotate(60))).toBe("SECRETS_MANY");
    expect(rotate(0)).toEqual([]);
  });

  it("tells every hash that caches may know", () => {
    expect(hashesOf(key)).toEqual(["present", "earlier", "ended"]);
    expect(hashesOf({ hash: "x" })).toEqual(["x"]);
  });
});

describe("an address in the audit trail", () => {
  it.each([
    ["192.0.2.199", "192.0.2.0"],
    ["::ffff:192.0.2.199", "192.0.2.0"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1::"],
    ["::1", "::"],
    ["fe80::1%eth0", "fe80::"],
    ["", ""],
    ["not an address", ""],
  ])("%j → %j", (ip, expected) => expect(truncateIp(ip)).toBe(expected));
});

describe("a time zone", () => {
  it.each([undefined, "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata"])(
    "can be %s",
    (zone) => {
      expect(outcome(() => checkTimezone(zone))).toBe("passes");
    },
  );

  it.each(["", "Berlin", "Europe/Nowhere", "+01:00", "-05", " UTC", "Europe/Berlin\u0000"])("cannot be %j", (zone) => {
    expect(outcome(() => checkTimezone(zone))).toBe("TIMEZONE_UNKNOWN timezone");
  });
});

it.each([
  [undefined, "passes"],
  [NOW + 1, "passes"],
  [NOW, "EXPIRY_PAST expires_at"],
  [NOW - 1, "EXPIRY_PAST expires_at"],
])("an end at %s: %s", (expiresAt, expected) => expect(outcome(() => checkExpiry(expiresAt, NOW))).toBe(expected));

describe("a cursor", () => {
  it("comes back as it went", () => {
    expect(decodeCursor(encodeCursor({ createdAt: NOW, id: "key_ü/1" }))).toEqual({ createdAt: NOW, id: "key_ü/1" });
    expect(decodeCursor("")).toBeUndefined();
    expect(encodeCursor(undefined)).toBe("");
  });

  const text = (json: unknown) => Buffer.from(JSON.stringify(json)).toString("base64url");
  it.each([
    "garbage",
    "!!!",
    "W10",
    text(null),
    text(5),
    text({}),
    text([1]),
    text(["1", "key"]),
    text([1, 2]),
    text([1.5, "key"]),
    text([null, "key"]),
    text([1, "key", 3]),
    Buffer.from('[1e999,"key"]').toString("base64url"),
    Buffer.from('[ 1,"key"]').toString("base64url"),
    `${encodeCursor({ createdAt: 1, id: "key_1" })}=`,
    `${encodeCursor({ createdAt: 1, id: "key_1" })} `,
    "\u0000",
  ])("is not %j", (token) => expect(outcome(() => decodeCursor(token))).toBe("PAGE_TOKEN_INVALID page_token"));
});

it("a secret has its prefix and 256 bits", () => {
  expect(secretFrom(Buffer.alloc(32, 0xff))).toBe(`wmk_${"_".repeat(42)}8`);
});
