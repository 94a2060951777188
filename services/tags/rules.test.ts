import { describe, expect, it } from "vitest";
import { tagDoc } from "../../test/support/tag-ground.ts";
import {
  assertContact,
  finderName,
  initialStatus,
  isAlarming,
  isMedical,
  messageText,
  pageMeta,
  photos,
  relays,
  reward,
  showsProfile,
  statusAt,
  step,
  waitSeconds,
} from "./rules.ts";
import type { Status } from "./words.ts";

const ALL: readonly Status[] = ["PENDING_SETUP", "ACTIVE", "LOST", "FOUND", "STOLEN", "DEACTIVATED", "EXPIRED"];

/** Rows: from; a mark for each status of ALL that it may go to. */
const TABLE: Readonly<Record<Status, string>> = {
  PENDING_SETUP: "yy...yy",
  ACTIVE: ".yy.yyy",
  LOST: ".yyy.yy",
  FOUND: ".y.y.yy",
  STOLEN: ".y..yyy",
  DEACTIVATED: ".y...y.",
  EXPIRED: ".y...yy",
};

describe("a step of the status", () => {
  const steps = ALL.flatMap((from) => ALL.map((to, index) => [from, to, TABLE[from][index] === "y"] as const));

  it.each(steps.filter(([, , allowed]) => allowed))("goes from %s to %s", (from, to) => {
    expect(step(from, to)).toBe(to);
  });

  it.each(steps.filter(([, , allowed]) => !allowed))("does not go from %s to %s", (from, to) => {
    expect(() => step(from, to)).toThrow(`status cannot go from ${from} to ${to}; it can go to `);
  });
});

describe("a new tag", () => {
  it.each([
    [undefined, "ACTIVE"],
    ["ACTIVE", "ACTIVE"],
    ["PENDING_SETUP", "PENDING_SETUP"],
    ["LOST", "LOST"],
  ] as const)("asked to be %s is %s", (wanted, status) => {
    expect(initialStatus(wanted)).toBe(status);
  });

  it.each(["FOUND", "STOLEN", "DEACTIVATED", "EXPIRED"] as const)("cannot be %s", (wanted) => {
    expect(() => initialStatus(wanted)).toThrow("status of a new tag must be one of");
  });
});

describe("what finders may do", () => {
  it.each([
    ["PENDING_SETUP", false],
    ["ACTIVE", true],
    ["LOST", true],
    ["FOUND", true],
    ["STOLEN", true],
    ["DEACTIVATED", false],
    ["EXPIRED", false],
  ] as const)("%s: profile and messages %s", (status, open) => {
    expect(showsProfile(tagDoc({ status }), 0)).toBe(open);
    expect(relays(tagDoc({ status }), 0)).toBe(open);
  });

  it("sees nothing of a private tag, and writes to it all the same", () => {
    expect(showsProfile(tagDoc({ isPrivate: true }), 0)).toBe(false);
    expect(() => assertContact(tagDoc({ isPrivate: true }), 0)).not.toThrow();
  });

  it("does not write when the owner takes no messages, or the tag passes none on", () => {
    expect(() => assertContact(tagDoc({ contactEnabled: false }), 0)).toThrow("takes no messages");
    expect(() => assertContact(tagDoc({ status: "EXPIRED" }), 0)).toThrow("passes no messages on");
  });
});

describe("a tag with an end", () => {
  it.each([
    ["ACTIVE", 999, "ACTIVE"],
    ["ACTIVE", 1000, "EXPIRED"],
    ["LOST", 1001, "EXPIRED"],
    ["PENDING_SETUP", 1001, "EXPIRED"],
    ["DEACTIVATED", 1001, "DEACTIVATED"],
  ] as const)("that is %s stands at %i as %s", (status, now, expected) => {
    expect(statusAt(tagDoc({ status, expiresAt: 1000 }), now)).toBe(expected);
  });
});

describe("a notice of a scan", () => {
  it.each([
    ["LOST", 100, true],
    ["STOLEN", 100, true],
    ["ACTIVE", 100, false],
    ["FOUND", 100, false],
    ["LOST", 49, false],
  ] as const)("of a tag that is %s since 50, scanned at %i: %s", (status, scannedAt, alarming) => {
    expect(isAlarming(tagDoc({ status, statusSince: 50 }), { scannedAt, now: 200 })).toBe(alarming);
  });
});

describe("the purpose of a scan", () => {
  it("is medical for a medical tag and for one with emergency information", () => {
    expect(isMedical(tagDoc({ tagType: "MEDICAL" }))).toBe(true);
    expect(isMedical(tagDoc({ emergencyAvailable: true }))).toBe(true);
    expect(isMedical(tagDoc({ tagType: "PET" }))).toBe(false);
  });
});

describe("a message", () => {
  it("has 1 to 2,000 characters without the white space around it", () => {
    expect(messageText(`  ${"🔑".repeat(2000)}\n`)).toBe("🔑".repeat(2000));
    for (const bad of ["", " \n\t", "x".repeat(2001)]) expect(() => messageText(bad)).toThrow("message must have 1 to");
  });

  it.each([
    [undefined, "Finder"],
    ["", "Finder"],
    ["   ", "Finder"],
    [" Alex ", "Alex"],
  ])("of a finder called %j is of %j", (given, name) => {
    expect(finderName(given)).toBe(name);
  });
});

describe("a reward", () => {
  it.each([
    [0, 0],
    [25, 25],
    [0.29, 0.29],
    [1.1, 1.1],
    [999_999_999.99, 999_999_999.99],
  ])("may be %d", (amount, stored) => {
    expect(reward({ amount, currency: "" })).toEqual({ amount: stored, currency: "USD" });
  });

  it.each([-1, -0.01, 0.001, 25.005, Number.NaN, Number.POSITIVE_INFINITY, 1e12])("may not be %d", (amount) => {
    expect(() => reward({ amount, currency: "USD" })).toThrow("reward.amount must be 0 or more");
  });

  it("has a currency of ISO 4217", () => {
    expect(reward({ amount: 1, currency: "eur", description: " x " })).toEqual({
      amount: 1,
      currency: "EUR",
      description: "x",
    });
    for (const currency of ["EU", "EURO", "QQQ", "12A"])
      expect(() => reward({ amount: 1, currency })).toThrow("reward.currency must be an ISO 4217");
  });
});

describe("pictures", () => {
  it.each([
    "ftp://a/b",
    "javascript:alert(1)",
    "data:image/png;base64,AA",
    "/relative",
    "",
    `https://a/${"x".repeat(2048)}`,
  ])("are not at %.30s", (url) => {
    expect(() =>
      photos([
        { url: "https://a/b.jpg", isPrimary: true },
        { url, isPrimary: false },
      ]),
    ).toThrow("photos[1].url must be an http or https URL");
  });

  it("are 20 at most", () => {
    const photo = { url: "http://a/b.jpg", isPrimary: false };
    expect(photos(Array.from({ length: 20 }, () => photo))).toHaveLength(20);
    expect(() => photos(Array.from({ length: 21 }, () => photo))).toThrow("photos must have at most 20");
  });
});

describe("a limit by the hour", () => {
  it.each([
    [[], 0],
    [[3_000_000], 0],
    [[3_000_000, 2_000_000], 1000],
    [[3_000_000, 2_000_000, 1_500_000], 1000],
  ])("of 2, with %j at 4,600,000: wait %i s", (times, seconds) => {
    expect(waitSeconds(times, { most: 2, now: 4_600_000 })).toBe(seconds);
  });
});

describe("pages", () => {
  it.each([
    [0, 10, 0],
    [3, 10, 1],
    [10, 10, 1],
    [11, 10, 2],
  ])("of %i by %i are %i", (total, limit, totalPages) => {
    expect(pageMeta(total, { page: 1, limit })).toEqual({ total, page: 1, totalPages });
  });
});
