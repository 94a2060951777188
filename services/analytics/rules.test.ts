import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeviceType, HttpMethod } from "#gen/waymark/analytics/v1/analytics_pb.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { type Cell, toCsv } from "./events/csv.ts";
import { count32, deviceOf, deviceTypeOf, intervals, methodOf, sizeOf, visitorOf } from "./rules.ts";

describe("words of this API", () => {
  it.each([
    [0, DeviceType.UNKNOWN],
    [1, DeviceType.MOBILE],
    [2, DeviceType.TABLET],
    [3, DeviceType.DESKTOP],
    [99, DeviceType.UNKNOWN],
  ])("device type %i", (type, word) => expect(deviceTypeOf(type)).toBe(word));

  it.each([
    ["GET", HttpMethod.GET],
    ["POST", HttpMethod.POST],
    ["HEAD", HttpMethod.HEAD],
    ["PUT", undefined],
    [undefined, undefined],
  ])("method %s", (method, word) => expect(methodOf(method)).toBe(word));

  it("the visitor of a device leads back to it, and what is no visitor leads to none", () => {
    expect(deviceOf(visitorOf("vis_d1"))).toBe("vis_d1");
    expect([deviceOf("d1"), deviceOf(""), deviceOf("VIS_d1")]).toEqual(["", "", ""]);
  });

  it("counts stay at the most where they have 32 bits", () => {
    expect([count32(7), count32(2 ** 31 - 1), count32(2 ** 31), count32(2 ** 53)]).toEqual([
      7,
      ...Array(3).fill(2_147_483_647),
    ]);
  });

  it("page sizes are clamped", () => {
    const sizes = { default: 50, most: 200 };
    expect([sizeOf(undefined, sizes), sizeOf(1, sizes), sizeOf(200, sizes), sizeOf(201, sizes)]).toEqual([
      50, 1, 200, 200,
    ]);
  });
});

describe("intervals", () => {
  it.each([
    [0, 0, 1, 1],
    [0, 59_999, 1, 1],
    [0, 60_000, 1, 2],
    [5, 86_400_005, 1_440, 2],
    [0, 9_999 * 60_000, 1, 10_000],
  ])("from %i to %i by %i minutes are %i", (start, end, minutes, count) => {
    expect(intervals({ start, end, minutes })).toEqual({ count, lengthMs: minutes * 60_000 });
  });

  it("are refused when there are too many, or when they end before they begin", () => {
    expect(() => intervals({ start: 0, end: 10_000 * 60_000, minutes: 1 })).toThrow("at most 10,000");
    expect(() => intervals({ start: 1, end: 0, minutes: 1 })).toThrow("end_date must not be before");
  });
});

describe("a page token", () => {
  it("comes back as it was for the same question, and for no other", () => {
    const cursor = fc.record({
      key: fc.maxSafeInteger(),
      id: fc.string({ unit: "binary", maxLength: 256 }),
      upTo: fc.maxSafeNat(),
      total: fc.maxSafeNat(),
    });
    fc.assert(
      fc.property(cursor, fc.array(fc.string()), fc.array(fc.string()), (one, question, other) => {
        const token = encodeCursor(question, one);
        expect(decodeCursor(question, token)).toEqual(one);
        fc.pre(JSON.stringify(question) !== JSON.stringify(other));
        expect(() => decodeCursor(other, token)).toThrow("page_token is not from an earlier page");
      }),
    );
  });

  it("that nobody made is refused and never fails otherwise", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (token) => {
        expect(() => decodeCursor([], token)).toThrow("page_token is not from an earlier page");
      }),
    );
  });
});

/** Reads CSV by RFC 4180. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  const cells = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gy;
  for (let row: string[] = [], found = cells.exec(text); found !== null; found = cells.exec(text)) {
    row.push(found[1]?.replaceAll('""', '"') ?? found[2] ?? "");
    if (found[3] === ",") continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

describe("CSV", () => {
  it("is read back as it was written, and no cell is a formula", () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom("=1+1", "+x", "-1", "@a", "\t=1", "\r=1", "\n=1", 'a"b', "a,b", ""),
    );
    fc.assert(
      fc.property(fc.array(fc.array(text, { minLength: 3, maxLength: 3 })), (rows) => {
        const read = parseCsv(toCsv(["a", "b", "c"], rows)).slice(1);
        expect(read).toEqual(rows.map((row) => row.map((cell) => (/^[=+\-@\t\r\n]/.test(cell) ? `'${cell}` : cell))));
        expect(read.flat().filter((cell) => /^[=+\-@\t\r\n]/.test(cell))).toEqual([]);
      }),
    );
  });

  it("writes numbers as they are and nothing for what is unknown", () => {
    const row: Cell[] = [-5, 12n, undefined];
    expect(toCsv(["a", "b", "c"], [row])).toBe("a,b,c\r\n-5,12,\r\n");
  });
});
