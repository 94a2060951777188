import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { equal, openSecrets } from "./secrets.ts";

let data = "";
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "waymark-secrets-"));
});
afterEach(() => rmSync(data, { recursive: true, force: true }));

const open = (tagKey?: string) => openSecrets({ data, tagKey });
const file = () => join(data, "keys", "master.key");

describe("the master key", () => {
  it("is made once, for its owner alone, and nothing else is left", () => {
    open();
    expect(readdirSync(join(data, "keys"))).toEqual(["master.key"]);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(statSync(join(data, "keys")).mode & 0o777).toBe(0o700);
    const made = readFileSync(file());
    expect(made).toHaveLength(32);
    open();
    expect(readFileSync(file())).toEqual(made);
  });

  it("is another in another folder", () => {
    const first = open().key("envelope");
    rmSync(join(data, "keys"), { recursive: true });
    expect(open().key("envelope")).not.toEqual(first);
  });

  it.each([0, 31, 33])("of %i bytes stops the start, and is left as it is", (size) => {
    mkdirSync(join(data, "keys"));
    writeFileSync(file(), Buffer.alloc(size));
    expect(() => open()).toThrow(`${file()} is damaged: it has ${size} bytes in place of 32; restore it from a backup`);
    expect(readFileSync(file())).toHaveLength(size);
  });

  it("whose making was cut short is made anew", () => {
    mkdirSync(join(data, "keys"));
    writeFileSync(`${file()}.new`, Buffer.alloc(7));
    open();
    expect(readFileSync(file())).toHaveLength(32);
    expect(readdirSync(join(data, "keys"))).toEqual(["master.key"]);
  });

  it("that is only to be read is read", () => {
    const first = open().key("devices");
    chmodSync(file(), 0o400);
    expect(open().key("devices")).toEqual(first);
  });
});

describe("a key for one use", () => {
  it("is the same at each start and for each call, and another for another use", () => {
    const [first, second] = [open(), open()];
    expect(first.key("devices")).toEqual(second.key("devices"));
    expect(first.key("devices")).toEqual(first.key("devices"));
    const all = ["devices", "tags", "envelope", "principal", ""].map((name) => first.key(name).toString("hex"));
    expect(new Set(all).size).toBe(5);
    for (const key of all) expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(all).not.toContain(readFileSync(file()).toString("hex"));
  });

  it("for tags comes from WAYMARK_TAG_KEY when it is set, in hex or base64, and from it alone", () => {
    const wanted = Buffer.alloc(32, 0xab);
    const set = open(wanted.toString("hex"));
    expect(set.key("tags")).toEqual(wanted);
    expect(open(wanted.toString("base64")).key("tags")).toEqual(wanted);
    expect(set.key("devices")).toEqual(open().key("devices"));
    expect(open().key("tags")).not.toEqual(wanted);
  });

  it.each(["ab", "zz".repeat(32), Buffer.alloc(31).toString("base64"), Buffer.alloc(33).toString("base64")])(
    "is not made from %s",
    (text) => expect(() => open(text)).toThrow("32 bytes as hex or base64"),
  );
});

it.each([
  ["a", "a", true],
  ["a", "b", false],
  ["a", "ab", false],
  ["", "", true],
  ["", "a", false],
])("%j equals %j: %s", (a, b, expected) => expect(equal(Buffer.from(a), Buffer.from(b))).toBe(expected));
