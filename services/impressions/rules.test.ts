import { describe, expect, it } from "vitest";
import { EarningStatus } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { ReferralStatus } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import type { EarningDoc, ReferralDoc } from "./model.ts";
import { changeEarning, changeReferral, checkUrl, faultOf, mergeMetadata, newMetadata, pageOf } from "./rules.ts";

const NOW = Date.UTC(2026, 0, 1);

describe("pages", () => {
  it.each([
    [{ offset: 0 }, { limit: 50, skip: 0 }],
    [
      { limit: 25, offset: 50 },
      { limit: 25, skip: 50 },
    ],
    [
      { limit: 100, offset: 0 },
      { limit: 100, skip: 0 },
    ],
    [
      { limit: 101, offset: 0 },
      { limit: 100, skip: 0 },
    ],
  ])("of %o is %o", (request, page) => {
    expect(pageOf(request)).toStrictEqual(page);
  });
});

describe("addresses", () => {
  it.each(["http://example.com", "https://example.com/a?b=c#d", "https://bücher.example/"])("takes %s", (url) => {
    expect(() => checkUrl("landing_url", url)).not.toThrow();
  });

  it.each([
    "example.com",
    "javascript:alert(1)",
    "ftp://example.com",
    "https://example.com/a b",
    "https://",
    "/landing",
    "",
  ])("refuses %s", (url) => {
    expect(() => checkUrl("landing_url", url)).toThrow("landing_url must be an http or https URL without spaces");
  });
});

describe("metadata", () => {
  it("is overlaid by members of the same name, and null removes one", () => {
    const present = { a: 1, b: { deep: true }, c: "x" };
    expect(mergeMetadata(present, { a: 2, b: null, d: [] })).toStrictEqual({ a: 2, c: "x", d: [] });
  });

  it("keeps a null that was there", () => {
    expect(mergeMetadata({ a: null }, { b: 1 })).toStrictEqual({ a: null, b: 1 });
  });

  it("is refused above 16 KiB, also when it grows by merging", () => {
    const half = { a: "x".repeat(9000) };
    expect(newMetadata(half)).toBe(half);
    expect(() => newMetadata({ a: "ü".repeat(9000) })).toThrow("metadata must be at most 16 KiB");
    expect(() => mergeMetadata(half, { b: "x".repeat(9000) })).toThrow("metadata must be at most 16 KiB");
  });
});

describe("incoming impressions", () => {
  it.each([
    ["an id with a slash", { id: "a/b" }, "id must be 1 to 64 of A-Z a-z 0-9 _ . : -"],
    ["no poster", { posterId: "" }, "poster_id is required"],
    ["a time in seconds taken for milliseconds", { at: 1_700_000_000 }, "scanned_at must not be before the year 2000"],
    ["a time too far ahead", { at: NOW + 600_001 }, "scanned_at must be at most 10 minutes ahead"],
    ["an address that is none", { ipAddress: "192.168.1" }, "ip_address must be an IPv4 or IPv6 address"],
    ["an endless user agent", { userAgent: "x".repeat(4097) }, "user_agent must be at most 4096 characters"],
    [
      "metadata of 51 keys",
      { metadata: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`k${i}`, i])) },
      "metadata must have at most 50 keys",
    ],
    ["large metadata", { metadata: { a: "x".repeat(16385) } }, "metadata must be at most 16 KiB"],
  ])("are refused with %s", (_case, given, message) => {
    expect(faultOf({ posterId: "poster_1", ...given }, NOW)).toBe(message);
  });

  it.each([
    {},
    { id: "imp_123abc" },
    { at: Date.UTC(2000, 0, 1) },
    { at: NOW + 600_000 },
    { ipAddress: "2001:db8::1" },
    { ipAddress: "" },
  ])("are taken with %o", (given) => {
    expect(faultOf({ posterId: "poster_1", ...given }, NOW)).toBeUndefined();
  });
});

describe("a referral", () => {
  const pending = { status: ReferralStatus.PENDING, metadata: { a: 1 } } as unknown as ReferralDoc;

  it("gets the time when it becomes verified", () => {
    const { set } = changeReferral(pending, { status: ReferralStatus.VERIFIED }, NOW);
    expect(set).toStrictEqual({ status: ReferralStatus.VERIFIED, verifiedAt: NOW, updatedAt: NOW });
  });

  it("keeps the given time", () => {
    const { set } = changeReferral(pending, { status: ReferralStatus.VERIFIED, verifiedAt: 7 }, NOW);
    expect(set).toMatchObject({ verifiedAt: 7 });
  });

  it("keeps the time when it is verified again", () => {
    const verified = { ...pending, status: ReferralStatus.VERIFIED, verifiedAt: 7 };
    expect(changeReferral(verified, { status: ReferralStatus.VERIFIED }, NOW).set).not.toHaveProperty("verifiedAt");
  });

  it("gets no time with another status", () => {
    expect(changeReferral(pending, { status: ReferralStatus.CONVERTED }, NOW).set).not.toHaveProperty("verifiedAt");
  });

  it("changes only what is given, and an empty picture removes it", () => {
    const change = changeReferral(pending, { firstName: "Ada", profilePicture: "", metadata: { b: 2 } }, NOW);
    const set = { firstName: "Ada", metadata: { a: 1, b: 2 }, updatedAt: NOW };
    expect(change).toStrictEqual({ set, unset: ["profilePicture"] });
  });
});

describe("an earning", () => {
  const pending = { status: EarningStatus.PENDING, metadata: {} } as unknown as EarningDoc;

  it("gets the time when it becomes paid, once", () => {
    expect(changeEarning(pending, { status: EarningStatus.PAID }, NOW).set).toMatchObject({ paidAt: NOW });
    const paid = { ...pending, paidAt: 7 };
    expect(changeEarning(paid, { status: EarningStatus.PAID }, NOW).set).not.toHaveProperty("paidAt");
  });

  it("changes only what is given, and an empty text removes it", () => {
    const change = changeEarning(pending, { amount: 0, description: "", referenceId: "payout_1" }, NOW);
    expect(change).toStrictEqual({
      set: { amount: 0, referenceId: "payout_1", updatedAt: NOW },
      unset: ["description"],
    });
  });
});
