import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openEncryptedIds } from "./encrypted-id.ts";

const ids = openEncryptedIds(Buffer.alloc(32, 7));
const address = { workspace: "default", tagId: "tag_abc123" };
const encryptedId = ids.encrypt(address);

describe("the id on a printed tag", () => {
  it("leads back to its tag", () => {
    expect(ids.decrypt(encryptedId)).toEqual(address);
  });

  it("stays the same for the life of the tag", () => {
    expect(ids.encrypt(address)).toBe(encryptedId);
    expect(openEncryptedIds(Buffer.alloc(32, 7)).encrypt(address)).toBe(encryptedId);
  });

  it("fits into a URL as it is, and tells nothing of the tag", () => {
    expect(encryptedId).toMatch(/^[A-Za-z0-9_-]{60,120}$/);
    expect(Buffer.from(encryptedId, "base64url").toString("latin1")).not.toContain("tag_");
  });

  it("holds for every workspace and id", () => {
    const word = fc.stringMatching(/^[A-Za-z0-9_.:-]{1,64}$/);
    const property = fc.property(word, word, (workspace, tagId) => {
      expect(ids.decrypt(ids.encrypt({ workspace, tagId }))).toEqual({ workspace, tagId });
    });
    fc.assert(property, { numRuns: 200 });
  });

  it("is unknown after a change of any bit", () => {
    const bytes = Buffer.from(encryptedId, "base64url");
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(ids.decrypt(changed.toString("base64url"))).toBeUndefined();
    }
  });

  it("is unknown after a change of any letter, the last one too", () => {
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (let at = 0; at < encryptedId.length; at++) {
      for (const letter of at === encryptedId.length - 1 ? letters : "Aq_") {
        if (letter === encryptedId[at]) continue;
        expect(ids.decrypt(encryptedId.slice(0, at) + letter + encryptedId.slice(at + 1))).toBeUndefined();
      }
    }
  });

  it.each([
    ["nothing", ""],
    ["a plain id", "tag_abc123"],
    ["the document's example", "aGVsbG8td29ybGQ"],
    ["padding", `${encryptedId}=`],
    ["a line break", `${encryptedId}\n`],
    ["a random text", randomBytes(60).toString("base64url")],
    ["a very long text", "A".repeat(100_000)],
    ["another installation's id", openEncryptedIds(Buffer.alloc(32, 8)).encrypt(address)],
  ])("is unknown: %s", (_case, text) => {
    expect(ids.decrypt(text)).toBeUndefined();
  });
});
