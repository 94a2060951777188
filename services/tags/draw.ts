import { crc32, deflateSync } from "node:zlib";
import { encodeQR } from "qr";

/** Modules of quiet zone on each side, as the standard asks. */
const QUIET = 4;

/** A picture of a QR code. */
export interface Picture {
  contentType: "image/png" | "image/svg+xml";
  data: Uint8Array;
}

/** Draws a text as a QR code of that many pixels a side, with whole pixels a module and the rest as margin. */
export function drawQr(text: string, { format, size }: { format: "png" | "svg"; size: number }): Picture {
  const modules = encodeQR(text, "raw", { ecc: "medium", border: QUIET });
  if (format === "svg") return { contentType: "image/svg+xml", data: Buffer.from(svg(modules, size)) };
  return { contentType: "image/png", data: png(modules, size) };
}

function svg(modules: readonly boolean[][], size: number): string {
  const side = modules.length;
  const path = modules.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : [])));
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" viewBox="0 0 ${side} ${side}" ` +
    `shape-rendering="crispEdges"><path fill="#fff" d="M0 0h${side}v${side}H0z"/><path d="${path.join("")}"/></svg>`
  );
}

/** One bit a pixel, white is 1. */
function png(modules: readonly boolean[][], size: number): Buffer {
  const scale = Math.max(1, Math.floor(size / modules.length));
  const side = Math.max(size, modules.length * scale);
  const margin = Math.floor((side - modules.length * scale) / 2);
  const stride = 1 + Math.ceil(side / 8); // a filter byte, then the row
  const pixels = Buffer.alloc(stride * side, 0xff);
  for (let y = 0; y < side; y++) {
    const row = modules[Math.floor((y - margin) / scale)];
    pixels[y * stride] = 0;
    for (let x = margin; row !== undefined && x < side - margin; x++) {
      if (row[Math.floor((x - margin) / scale)] !== true) continue;
      const at = y * stride + 1 + (x >> 3);
      pixels[at] = (pixels[at] as number) & ~(0x80 >> (x & 7));
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header[8] = 1; // bits a sample; the rest 0: grey, deflate, no interlace
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(pixels)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
