import { createHash } from "node:crypto";
import { fail } from "./reasons.ts";

/** Where a list goes on. The pages of one list are of one moment: they all show what was there when the first was read. */
export interface Cursor {
  /** Sort key of the last row. */
  key: number;
  /** Its id, which decides among equal keys. */
  id: string;
  /** The list shows what stood on the log up to this position. */
  upTo: number;
  /** How many match in all. */
  total: number;
}

/** No token of ours is longer: ids end at 64 characters, names of devices at 256. */
const MOST_CHARACTERS = 4_096;

/** An opaque page token that only fits the same question. */
export function encodeCursor(question: unknown, { key, id, upTo, total }: Cursor): string {
  return Buffer.from(JSON.stringify([fingerprint(question), key, id, upTo, total])).toString("base64url");
}

/**
 * The cursor of a token; undefined for the first page. Refuses tokens of other questions, ids that cannot be, and what
 * is no token.
 */
export function decodeCursor(
  question: unknown,
  token: string,
  canBe: (id: string) => boolean = () => true,
): Cursor | undefined {
  if (token === "") return undefined;
  const parts = token.length > MOST_CHARACTERS ? [] : partsOf(token);
  const [print, key, id, upTo, total] = parts;
  const isWhole = [key, upTo, total].every(Number.isSafeInteger);
  if (parts.length === 5 && print === fingerprint(question) && isWhole && typeof id === "string" && canBe(id))
    return { key: Number(key), id, upTo: Number(upTo), total: Number(total) };
  throw fail("PAGE_TOKEN_INVALID", { field: "page_token" });
}

function partsOf(token: string): unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    return Array.isArray(parts) ? parts : [];
  } catch {
    return [];
  }
}

function fingerprint(question: unknown): string {
  const text = JSON.stringify(question, (_key, value) => (typeof value === "bigint" ? String(value) : value));
  return createHash("sha256").update(text).digest("base64url").slice(0, 16);
}
