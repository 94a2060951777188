import jsqr from "jsqr";
import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import { type Drawing, draw, matrix, type Picture } from "./picture.ts";

const text = "https://codes.example.com/s/hc9m3r";
const plain: Drawing = { format: "png", size: 512, margin: 4, ecc: "M", dark: "000000", light: "FFFFFF" };

function read(picture: Picture): { png: ReturnType<typeof PNG.sync.read>; says: string | undefined } {
  const png = PNG.sync.read(Buffer.from(picture.data));
  return { png, says: jsqr.default(new Uint8ClampedArray(png.data), png.width, png.height)?.data };
}

/** Paints the rectangles of the path as a renderer does, `scale` pixels a module. */
function paint(svg: string, scale: number): { width: number; data: Uint8ClampedArray } {
  const side = Number(/viewBox="0 0 (\d+) /.exec(svg)?.[1]);
  const width = side * scale;
  const data = new Uint8ClampedArray(width * width * 4).fill(255);
  for (const [, x, y, length] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g)) {
    for (let py = Number(y) * scale; py < (Number(y) + 1) * scale; py++)
      for (let px = Number(x) * scale; px < (Number(x) + Number(length)) * scale; px++)
        data.set([0, 0, 0], (py * width + px) * 4);
  }
  return { width, data };
}

describe("a PNG", () => {
  it.each<[string, Partial<Drawing>]>([
    ["by default", {}],
    ["with the least pixels", { size: 64 }],
    ["with a size that no module divides", { size: 333 }],
    ["with every error correction", { ecc: "H", size: 301 }],
    ["with little correction", { ecc: "L" }],
    ["with a wide margin", { margin: 16, size: 700 }],
    ["in colour", { dark: "1b3a5c", light: "f5e9da" }],
    ["on a ground that one can see through", { light: "FFFFFF00" }],
    ["light on dark", { dark: "FFFFFF", light: "000000" }],
  ])("says the text %s", async (_case, changed) => {
    const { png, says } = read(await draw(text, { ...plain, ...changed }));
    const size = changed.size ?? plain.size;
    expect([png.width, png.height]).toEqual([size, size]);
    expect(says).toBe(text);
  });

  it("is exact to the pixel in its colours", async () => {
    const { png } = read(await draw(text, { ...plain, dark: "10203040", light: "A0B0C0" }));
    const seen = new Set<string>();
    for (let i = 0; i < png.data.length; i += 4) seen.add(png.data.subarray(i, i + 4).toString("hex"));
    expect([...seen].sort()).toEqual(["10203040", "a0b0c0ff"]);
  });

  it("keeps at least the margin that was asked for", async () => {
    const { png } = read(await draw(text, { ...plain, margin: 4, size: 333 }));
    const side = matrix(text, "M").length;
    const scale = Math.floor(333 / (side + 8));
    const ground = (x: number, y: number) => png.data[(y * png.width + x) * 4] === 255;
    for (let i = 0; i < 333; i++)
      for (let edge = 0; edge < 4 * scale; edge++)
        expect(ground(edge, i) && ground(i, edge) && ground(332 - edge, i) && ground(i, 332 - edge)).toBe(true);
  });

  it("says how many pixels it needs when there are too few", async () => {
    await expect(draw(text, { ...plain, size: 64, margin: 16, ecc: "H" })).rejects.toThrow(
      /^\[.*\] size must be at least 6\d /,
    );
  });

  it("is small and quick at its greatest", async () => {
    await draw(text, plain);
    const begun = performance.now();
    const picture = await draw(text, { ...plain, size: 4096 });
    expect(performance.now() - begun).toBeLessThan(1000);
    expect(picture.data.length).toBeLessThan(50_000);
    expect(read(picture).png.width).toBe(4096);
  });
});

describe("an SVG", () => {
  it.each<[string, Partial<Drawing>]>([
    ["by default", {}],
    ["without a margin", { margin: 0 }],
    ["with every error correction", { ecc: "H" }],
  ])("says the text %s", async (_case, changed) => {
    const picture = await draw(text, { ...plain, ...changed, format: "svg" });
    const { width, data } = paint(Buffer.from(picture.data).toString(), 6);
    const bordered = changed.margin === 0 ? matrix(text, "M").length * 6 : width;
    expect(bordered).toBe(width);
    expect(jsqr.default(data, width, width)?.data).toBe(text);
  });

  it("has its size, its colours and nothing that runs", async () => {
    const svg = Buffer.from((await draw(text, { ...plain, format: "svg", dark: "AABBCC80" })).data).toString();
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" width="512" height="512" viewBox="0 0 \d+ \d+" /);
    expect(svg).toContain('fill="#aabbcc" fill-opacity="0.502"/></svg>');
    expect(svg).toContain('fill="#ffffff"/>');
    expect(svg).not.toMatch(/script|on\w+=|href/);
  });
});

it("has a tag of exactly these bytes", async () => {
  const [one, same, other] = await Promise.all([draw(text, plain), draw(text, plain), draw(`${text}x`, plain)]);
  expect(one.etag).toMatch(/^"[A-Za-z0-9_-]{27}"$/);
  expect(same.etag).toBe(one.etag);
  expect(other.etag).not.toBe(one.etag);
});
