import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Address, parseAddress } from "./address.ts";
import { openMmdb } from "./mmdb.ts";
import { bundledPlaces, openPlaces } from "./places.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "mmdb-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A value in the data section: control byte, then payload. Sizes below 29 and the two long forms that tests need. */
function encode(type: number, payload: Buffer, size = payload.length): Buffer {
  const isExtended = type > 7;
  const short = size < 29 ? size : size < 285 ? 29 : 30;
  const head = [isExtended ? short : (type << 5) | short, ...(isExtended ? [type - 7] : [])];
  if (short === 29) head.push(size - 29);
  if (short === 30) head.push((size - 285) >> 8, (size - 285) & 255);
  return Buffer.concat([Buffer.from(head), payload]);
}
const text = (value: string) => encode(2, Buffer.from(value));
const uint = (type: number, value: number) => encode(type, Buffer.from(value.toString(16).padStart(8, "0"), "hex"));
const map = (entries: Record<string, Buffer>) =>
  encode(
    7,
    Buffer.concat(Object.entries(entries).flatMap(([key, value]) => [text(key), value])),
    Object.keys(entries).length,
  );

/** A record of a node: where a bit leads. */
type Node = [left: number, right: number];

function writeTree(nodes: readonly Node[], bits: 24 | 28 | 32): Buffer {
  return Buffer.concat(
    nodes.map(([left, right]) => {
      if (bits !== 28)
        return Buffer.from([left, right].map((one) => one.toString(16).padStart(bits / 4, "0")).join(""), "hex");
      const [low, high] = [left % 0x1000000, right % 0x1000000];
      const middle = ((left >>> 24) << 4) | (right >>> 24);
      return Buffer.from(
        `${low.toString(16).padStart(6, "0")}${middle.toString(16).padStart(2, "0")}${high.toString(16).padStart(6, "0")}`,
        "hex",
      );
    }),
  );
}

function write(
  name: string,
  { nodes, bits, version, data }: { nodes: Node[]; bits: 24 | 28 | 32; version: 4 | 6; data: Buffer },
): string {
  const metadata = map({
    binary_format_major_version: encode(5, Buffer.from([2])),
    node_count: uint(6, nodes.length),
    record_size: encode(5, Buffer.from([bits])),
    ip_version: encode(5, Buffer.from([version])),
    database_type: text("test"),
  });
  const path = join(folder, name);
  const marker = Buffer.from([0xab, 0xcd, 0xef, ...Buffer.from("MaxMind.com")]);
  writeFileSync(path, Buffer.concat([writeTree(nodes, bits), Buffer.alloc(16), data, marker, metadata]));
  return path;
}

const address = (ip: string) => parseAddress(ip) as Address;

describe("a database in MaxMind's format", () => {
  it.each([24, 28, 32] as const)("is read with records of %i bits", (bits) => {
    // 0.0.0.0/1 → text, 128.0.0.0/2 → nothing, 192.0.0.0/2 → map
    const data = Buffer.concat([text("low"), map({ a: text("x".repeat(40)), b: encode(14, Buffer.alloc(0), 1) })]);
    const nodes: Node[] = [
      [2 + 16, 1],
      [2, 2 + 16 + 4],
    ];
    const database = openMmdb(write(`bits-${bits}`, { nodes, bits, version: 4, data }), { maxBytes: 1 << 16 });
    const low = database.find(address("10.0.0.1"));
    const high = database.find(address("200.0.0.1"));
    expect(low.prefix).toBe(1);
    expect(database.value(low.record as number)).toBe("low");
    expect(database.find(address("130.0.0.1"))).toEqual({ prefix: 2, record: undefined });
    expect(database.value(high.record as number)).toEqual({ a: "x".repeat(40), b: true });
    expect(database.find(address("2001:db8::1")).record).toBeUndefined();
    database.close();
  });

  it("is read with IPv4 below 96 zero bits of IPv6", () => {
    const nodes: Node[] = Array.from({ length: 97 }, (_, depth) => [depth + 1, 97]);
    nodes[96] = [97 + 16, 97]; // 0.0.0.0/1
    const database = openMmdb(write("v6", { nodes, bits: 28, version: 6, data: text("v4") }), { maxBytes: 1 << 16 });
    expect(database.value(database.find(address("10.1.2.3")).record as number)).toBe("v4");
    expect(database.find(address("::ffff:10.1.2.3")).prefix).toBe(1);
    expect(database.find(address("8000::"))).toEqual({ prefix: 1, record: undefined });
    database.close();
  });

  it("follows pointers and reads every type of value", () => {
    const values = Buffer.concat([
      encode(11, Buffer.concat([Buffer.from([0x20, 0]), Buffer.from([0x28, 0, 0])]), 2), // array of pointers to 0 and 2048
      encode(3, Buffer.from("400921fb54442d18", "hex")),
      encode(15, Buffer.from("3fc00000", "hex")),
      encode(8, Buffer.from("ffffffff", "hex")),
      encode(9, Buffer.from("0100000000", "hex")),
      encode(4, Buffer.from("beef", "hex")),
      text("y".repeat(300)),
    ]);
    const data = Buffer.concat([text("zero"), Buffer.alloc(2043), text("far"), values]);
    const database = openMmdb(write("types", { nodes: [[1, 1]], bits: 24, version: 4, data }), { maxBytes: 1 << 16 });
    const at = (offset: number) => database.value(1 + 16 + 5 + 2043 + 4 + offset);
    expect(at(0)).toEqual(["zero", "far"]);
    expect(at(7)).toBe(Math.PI);
    expect(at(16)).toBe(1.5);
    expect(at(22)).toBe(-1);
    expect(at(28)).toBe(2n ** 32n);
    expect(at(35)).toEqual(Buffer.from("beef", "hex"));
    expect(at(38)).toBe("y".repeat(300));
    database.close();
  });

  it("is refused when it is something else", () => {
    writeFileSync(join(folder, "noise"), Buffer.alloc(5000, 1));
    expect(() => openMmdb(join(folder, "noise"), { maxBytes: 1 << 16 })).toThrow("not a database in MaxMind's format");
  });
});

// What mmdb-lib 3 reads from the same files; 40,000 random addresses were compared with it as well.
describe("the bundled databases", () => {
  it.each([
    ["8.8.8.8", "US", "CA", "Mountain View", ""],
    ["1.1.1.1", "AU", "NSW", "Sydney", ""],
    ["24.48.0.1", "CA", "QC", "Montreal", ""],
    ["81.2.69.142", "GB", "ENG", "London", "Europe/London"],
    ["::ffff:8.8.8.8", "US", "CA", "Mountain View", ""],
    ["2001:4860:4860::8888", "CA", "QC", "Montreal", ""],
    ["2601:646::1", "US", "CA", "Los Angeles", ""],
  ])("know %s", (ip, country, region, city, timezone) => {
    const places = openPlaces(bundledPlaces());
    for (const _ of ["read", "remembered"]) expect(places.locate(ip)).toEqual({ country, region, city, timezone });
    places.close();
  });

  it.each(["127.0.0.1", "10.1.1.1", "203.0.113.9", "::1", "fe80::1%eth0", "", "1.2.3", "1.2.3.4.5", "a"])(
    "do not know %s",
    (ip) => {
      const places = openPlaces(bundledPlaces());
      expect(places.locate(ip)).toBeUndefined();
      places.close();
    },
  );

  it("are needed", () => {
    expect(() => openPlaces(tmpdir())).toThrow("holds no city database");
  });
});
