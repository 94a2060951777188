import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { openSealers } from "./seal.ts";
import type { Secrets } from "./secrets.ts";

function secretsOf(master: string): Secrets {
  return { key: (name) => createHmac("sha256", master).update(name).digest() };
}

const sealers = openSealers(secretsOf("one"), "messages");
const ada = sealers("ada");

describe("a sealer", () => {
  it.each(["I found your keys", "", "Schlüssel 🔑 鍵", "x".repeat(10_000)])("opens what it sealed: %.20s", (text) => {
    expect(ada.open(ada.seal(text, "a/1"), "a/1")).toBe(text);
  });

  it("hides the text, and seals it differently each time", () => {
    const sealed = ada.seal("coffee shop", "a/1");
    expect(sealed).not.toContain("coffee");
    expect(Buffer.from(sealed.split(".")[1] ?? "", "base64url").includes("coffee")).toBe(false);
    expect(ada.seal("coffee shop", "a/1")).not.toBe(sealed);
  });

  it("says which generation of keys sealed", () => {
    expect(ada.seal("x", "a/1")).toMatch(/^1\./);
  });

  it("opens after a restart", () => {
    const sealed = ada.seal("x", "a/1");
    expect(openSealers(secretsOf("one"), "messages")("ada").open(sealed, "a/1")).toBe("x");
  });

  it("refuses a change of any byte", () => {
    const [generation, body = ""] = ada.seal("keys", "a/1").split(".");
    const bytes = Buffer.from(body, "base64url");
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => ada.open(`${generation}.${changed.toString("base64url")}`, "a/1")).toThrow("cannot be opened");
    }
  });

  it.each([
    ["another place", () => ada.open(ada.seal("x", "a/1"), "a/2")],
    ["another workspace", () => sealers("bob").open(ada.seal("x", "a/1"), "a/1")],
    ["another use", () => openSealers(secretsOf("one"), "emergency")("ada").open(ada.seal("x", "a/1"), "a/1")],
    ["another installation", () => openSealers(secretsOf("two"), "messages")("ada").open(ada.seal("x", "a/1"), "a/1")],
    ["another generation", () => ada.open(ada.seal("x", "a/1").replace(/^1/, "2"), "a/1")],
    ["a text cut short", () => ada.open(ada.seal("x", "a/1").slice(0, 20), "a/1")],
  ])("does not open for %s", (_case, open) => {
    expect(open).toThrow("what is kept at a/");
  });

  it("says when something is not sealed at all, without repeating it", () => {
    expect(() => ada.open("Penicillin", "a/1")).toThrow("what is kept at a/1 is not sealed");
  });
});
