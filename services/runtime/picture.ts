import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { crc32, deflate } from "node:zlib";
import { encodeQR } from "qr";
import { fail } from "#runtime/failure.ts";

/** How a picture looks. Colours are RRGGBB or RRGGBBAA. */
export interface Drawing {
  format: "png" | "svg";
  /** Width and height in pixels. */
  size: number;
  /** The least quiet zone, in modules. */
  margin: number;
  ecc: "L" | "M" | "Q" | "H";
  dark: string;
  light: string;
}

/** A drawn picture. */
export interface Picture {
  contentType: string;
  data: Uint8Array;
  /** Strong entity tag of exactly these bytes, with its quotes. */
  etag: string;
}

const LEVELS = { L: "low", M: "medium", Q: "quartile", H: "high" } as const;

/** Draws a QR code that says `text`. In a PNG each module is a square of whole pixels, so the quiet zone may be wider than asked. */
export async function draw(text: string, drawing: Drawing): Promise<Picture> {
  const modules = matrix(text, drawing.ecc);
  const side = modules.length + 2 * drawing.margin;
  if (drawing.format === "png" && side > drawing.size)
    throw fail("INVALID_FIELD", { field: "size", must: `must be at least ${side} for this text, ecc and margin` });
  const data = drawing.format === "png" ? await png(modules, drawing) : Buffer.from(svg(modules, drawing));
  const etag = `"${createHash("sha256").update(data).digest("base64url").slice(0, 27)}"`;
  return { contentType: drawing.format === "png" ? "image/png" : "image/svg+xml", data, etag };
}

/** The modules without quiet zone, row by row; true is dark. */
export function matrix(text: string, ecc: Drawing["ecc"]): boolean[][] {
  const bordered = encodeQR(text, "raw", { ecc: LEVELS[ecc], border: 1 });
  return bordered.slice(1, -1).map((row) => row.slice(1, -1));
}

/** One rectangle a run of dark modules, in a view box whose unit is a module. */
function svg(modules: boolean[][], { size, margin, dark, light }: Drawing): string {
  const side = modules.length + 2 * margin;
  const runs = modules.flatMap((row, y) =>
    runsOf(row).map(({ from, to }) => `M${from + margin} ${y + margin}h${to - from}v1h${from - to}z`),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" viewBox="0 0 ${side} ${side}" shape-rendering="crispEdges">`,
    `<rect width="${side}" height="${side}" ${fill(light)}/>`,
    `<path d="${runs.join("")}" ${fill(dark)}/>`,
    "</svg>\n",
  ].join("");
}

function fill(colour: string): string {
  const [red = 0, green = 0, blue = 0, alpha = 255] = Buffer.from(colour, "hex");
  const opaque = `fill="#${Buffer.from([red, green, blue]).toString("hex")}"`;
  return alpha === 255 ? opaque : `${opaque} fill-opacity="${Number((alpha / 255).toFixed(3))}"`;
}

function runsOf(row: readonly boolean[]): { from: number; to: number }[] {
  const runs: { from: number; to: number }[] = [];
  for (let x = 0; x < row.length; x++) {
    if (!row[x]) continue;
    const from = x;
    while (row[x + 1]) x++;
    runs.push({ from, to: x + 1 });
  }
  return runs;
}

const compress = promisify(deflate);
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** A palette of two colours, one bit a pixel, no filter: 4096 × 4096 pixels are 2 MiB before compression. */
async function png(modules: boolean[][], { size, margin, dark, light }: Drawing): Promise<Buffer> {
  const scale = Math.floor(size / (modules.length + 2 * margin));
  const offset = Math.floor((size - modules.length * scale) / 2);
  const stride = 1 + Math.ceil(size / 8);
  const pixels = Buffer.alloc(stride * size);
  for (const [y, row] of modules.entries()) {
    const line = Buffer.alloc(stride);
    for (const { from, to } of runsOf(row)) darken(line, { from: offset + from * scale, to: offset + to * scale });
    for (let copy = 0; copy < scale; copy++) line.copy(pixels, (offset + y * scale + copy) * stride);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([1, 3, 0, 0, 0], 8); // one bit, palette, deflate, filters of each line, not interlaced
  const colours = [light, dark].map((colour) => Buffer.from(colour.padEnd(8, "f"), "hex"));
  const palette = Buffer.concat(colours.map((colour) => colour.subarray(0, 3)));
  const alpha = Buffer.from(colours.map((colour) => colour[3] as number));
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("PLTE", palette),
    ...(alpha.every((value) => value === 255) ? [] : [chunk("tRNS", alpha)]),
    chunk("IDAT", await compress(pixels)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** Sets the bits of pixels from–to of a line, whose first byte is its filter. */
function darken(line: Buffer, { from, to }: { from: number; to: number }): void {
  for (let x = from; x < to; x++) {
    const byte = 1 + (x >> 3);
    line[byte] = (line[byte] ?? 0) | (0x80 >> (x & 7));
  }
}

/** Length, type, data, CRC-32 of type and data. */
function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  whole.set(body, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}
