/**
 * Names inside JSON come from outside, and to MongoDB some of them mean more than a name: dots are paths, "$" begins an operator or a
 * reference, NUL ends a name, and the driver takes an object with `_bsontype` for one of its own. They are stored with these
 * characters as "%2E", so that every name is only a name, on every version of the server and as part of a path.
 */
const special = /[%.$\0]|^_bsontype$/;

/** A name as it is stored: "a.b" → "a%2Eb". */
export function encodeName(name: string): string {
  if (!special.test(name)) return name;
  if (name === "_bsontype") return "%5Fbsontype";
  return name.replace(/[%.$\0]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

/** The name that was stored. */
export function decodeName(name: string): string {
  if (!name.includes("%")) return name;
  return name.replace(/%(25|2E|24|00|5F)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** A value as JSON would carry it, with names as they are stored. The value itself is not changed. */
export function encodeValue(value: unknown): unknown {
  if (typeof value === "number") return Number.isFinite(value) ? value + 0 : null;
  if (typeof value === "bigint") throw new TypeError("a document cannot hold a bigint");
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => (isValue(item) ? encodeValue(item) : null));
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return encodeValue(toJSON.call(value));
  return renamed(value as Record<string, unknown>, encodeName, encodeValue);
}

/** The value that was stored. */
export function decodeValue(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(decodeValue);
  return renamed(value as Record<string, unknown>, decodeName, decodeValue);
}

function isValue(value: unknown): boolean {
  return value !== undefined && typeof value !== "function" && typeof value !== "symbol";
}

function renamed(
  value: Record<string, unknown>,
  rename: (name: string) => string,
  convert: (value: unknown) => unknown,
): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    const member = value[name];
    if (!isValue(member)) continue;
    const stored = rename(name);
    if (stored === "__proto__")
      Object.defineProperty(copy, stored, {
        value: convert(member),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    else copy[stored] = convert(member);
  }
  return copy;
}
