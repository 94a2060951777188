import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ENVELOPE_TTL_MS, type Envelope, seal, unseal } from "./envelope.ts";

const NOW = Date.UTC(2026, 10, 24);
const key = randomBytes(32);
const envelope: Envelope = {
  principal: {
    workspace: "acme",
    keyId: "key_1",
    keyName: "Schlüssel ✓",
    keyClass: "production",
    scopes: ["codes:read"],
    test: false,
  },
  requestId: "req_1",
  ip: "192.0.2.7",
  userAgent: "Mozilla/5.0 (ü)",
  method: "GET",
};
const sealed = seal(envelope, { key, now: NOW });

describe("an envelope", () => {
  it("comes back as it went", () => expect(unseal(sealed, { key, now: NOW })).toEqual(envelope));

  it("without a method comes back without", () => {
    const { method: _, ...rest } = envelope;
    expect(unseal(seal(rest, { key, now: NOW }), { key, now: NOW })?.method).toBeUndefined();
  });

  it("holds until its time is over, and at that moment no more", () => {
    expect(unseal(sealed, { key, now: NOW + ENVELOPE_TTL_MS - 1 })).toBeDefined();
    expect(unseal(sealed, { key, now: NOW + ENVELOPE_TTL_MS })).toBeUndefined();
  });

  it("sealed with another key is refused", () => {
    expect(unseal(sealed, { key: randomBytes(32), now: NOW })).toBeUndefined();
    expect(unseal(sealed, { key: Buffer.alloc(0), now: NOW })).toBeUndefined();
  });

  it("is refused when any letter of it is another", () => {
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";
    for (let at = 0; at < sealed.length; at += 1) {
      for (const letter of letters) {
        if (letter === sealed[at]) continue;
        const changed = sealed.slice(0, at) + letter + sealed.slice(at + 1);
        expect(unseal(changed, { key, now: NOW }), `${letter} at ${at}`).toBeUndefined();
      }
    }
  });

  it("is refused when it is cut or longer at any place", () => {
    for (let at = 0; at < sealed.length; at += 1) {
      expect(unseal(sealed.slice(0, at), { key, now: NOW })).toBeUndefined();
      expect(unseal(`${sealed.slice(0, at)}A${sealed.slice(at)}`, { key, now: NOW })).toBeUndefined();
    }
    for (const tail of [".", ".x", "=", " ", "\n"]) expect(unseal(sealed + tail, { key, now: NOW })).toBeUndefined();
  });

  it.each(["", ".", "..", "a.b", "null.", "{}.{}", "\u0000", "x".repeat(10_000)])("is not %j", (text) => {
    expect(unseal(text, { key, now: NOW })).toBeUndefined();
  });
});
