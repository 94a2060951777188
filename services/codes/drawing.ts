import type { DrawCodeRequest } from "#gen/waymark/codes/v1/directory_pb.ts";
import { fail } from "#runtime/failure.ts";
import type { Drawing } from "#runtime/picture.ts";

/** The least contrast of dark and light (WCAG's measure) that scanners can be trusted with. */
const LEAST_CONTRAST = 2;

function refuse(field: string, must: string): Error {
  return fail("INVALID_FIELD", { field, must });
}

/** What a request asks to be drawn, with defaults; or a refusal that names the field. */
export function readDrawing(request: DrawCodeRequest): Drawing {
  const { format, size, margin = 4 } = request;
  if (format !== "png" && format !== "svg") throw refuse("format", "must be png or svg");
  const pixels = size || 512;
  if (pixels < 64 || pixels > 4096) throw refuse("size", "must be a whole number from 64 to 4096");
  if (margin < 0 || margin > 16) throw refuse("margin", "must be a whole number from 0 to 16");
  const ecc = (request.ecc || "M").toUpperCase();
  if (ecc !== "L" && ecc !== "M" && ecc !== "Q" && ecc !== "H") throw refuse("ecc", "must be L, M, Q or H");
  const dark = colour(request.dark || "000000", "dark");
  const light = colour(request.light || "FFFFFF", "light");
  if (isOpaque(dark) && isOpaque(light) && contrast(dark, light) < LEAST_CONTRAST)
    throw refuse("light", "must differ more from dark, or nobody can scan the picture");
  return { format, size: pixels, margin, ecc, dark, light };
}

/** RRGGBB or RRGGBBAA, with or without "#". Opaque ones lose their alpha, so that equal pictures are equal. */
function colour(text: string, field: string): string {
  const match = /^#?([0-9a-f]{6}(?:[0-9a-f]{2})?)$/i.exec(text);
  if (match === null) throw refuse(field, "must be a colour as RRGGBB or RRGGBBAA");
  return (match[1] as string).toLowerCase().replace(/^(.{6})ff$/, "$1");
}

function isOpaque(colour: string): boolean {
  return colour.length === 6;
}

function contrast(a: string, b: string): number {
  const [darker = 0, lighter = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (lighter + 0.05) / (darker + 0.05);
}

/** Relative luminance by WCAG 2. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [...Buffer.from(colour, "hex")].map((byte) => {
    const part = byte / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
