import { hash } from "node:crypto";
import type { RequestContext } from "#runtime/context.ts";

/** Crockford's base32, as ULIDs have it. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** What follows the time in a ULID: 80 bits. */
const BYTES = 10;

/**
 * The id of a touch that its client gave none: prefix, underscore, and a ULID of the time of the request and of a hash over
 * the request and the touch's place in it. When the call is repeated, because the process that took it died before it
 * answered, the same touches get the same ids, and count once.
 */
export function madeId(
  { seed, newId }: Pick<RequestContext, "seed" | "newId">,
  { prefix, index }: { prefix: string; index: number },
): string {
  if (seed === undefined) return newId(prefix);
  const time = seed.slice(seed.indexOf("_") + 1, seed.indexOf("_") + 11);
  return `${prefix}_${time}${base32(hash("sha256", `${seed}/${prefix}/${index}`, "buffer").subarray(0, BYTES))}`;
}

/** Five bits a sign. */
function base32(bytes: Uint8Array): string {
  let text = "";
  let value = 0;
  let bits = 0;
  for (const byte of bytes) {
    value = ((value & 31) << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += ALPHABET[(value >> (bits - 5)) & 31];
  }
  return text;
}
