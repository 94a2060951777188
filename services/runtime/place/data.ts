import { LRUCache } from "lru-cache";
import type { BlockFile } from "./blocks.ts";

/** A value of a database. Numbers of 64 and 128 bits are bigints. */
export type MmdbValue =
  | string
  | number
  | bigint
  | boolean
  | Buffer
  | readonly MmdbValue[]
  | { readonly [key: string]: MmdbValue };

/** Reads values of a data section. */
export interface DataReader {
  /** The value at a position of the file. */
  value: (position: number) => MmdbValue;
}

const POINTER = 1;
const STRING = 2;
const DOUBLE = 3;
const BYTES = 4;
const MAP = 7;
const INT32 = 8;
const ARRAY = 11;
const BOOLEAN = 14;
const FLOAT = 15;
/** Unsigned integers, and how many bytes the format allows them. */
const UNSIGNED: ReadonlyMap<number, number> = new Map([
  [5, 2],
  [6, 4],
  [9, 8],
  [10, 16],
]);

/** The longest value that is believed; a damaged file could ask for more memory than there is. */
const MAX_SIZE = 1 << 20;
const MAX_DEPTH = 16;

/** Texts behind pointers that are remembered. */
const MAX_TEXTS = 5_000;

interface Read {
  value: MmdbValue;
  /** Where the next value begins. */
  next: number;
}

interface Head {
  type: number;
  size: number;
  /** Where the payload begins. */
  at: number;
}

/** Opens a data section that begins at `base`; pointers in it count from there. */
export function openData(file: BlockFile, base: number): DataReader {
  // Names of fields, countries and regions stand once in the file and are pointed at from everywhere.
  const texts = new LRUCache<number, string>({ max: MAX_TEXTS });
  const read = (position: number, depth: number): Read => {
    if (depth > MAX_DEPTH) throw new Error("the place database is damaged: values nested too deep");
    const head = headAt(file, position);
    if (head.type === POINTER) {
      const { target, next } = pointerAt(file, head);
      const known = texts.get(target);
      if (known !== undefined) return { value: known, next };
      const { value } = read(base + target, depth + 1);
      if (typeof value === "string") texts.set(target, value);
      return { value, next };
    }
    if (head.type === MAP) return readMap(head, (at) => read(at, depth + 1));
    if (head.type === ARRAY) return readArray(head, (at) => read(at, depth + 1));
    if (head.type === BOOLEAN) return { value: head.size !== 0, next: head.at };
    return { value: scalarOf(head.type, file.slice(head.at, head.size)), next: head.at + head.size };
  };
  return { value: (position) => read(position, 0).value };
}

/** Control byte: three bits type, five bits size; type 0 has its type in the next byte, sizes from 29 on have it in the next ones. */
function headAt(file: BlockFile, position: number): Head {
  const bytes = file.slice(position, 5);
  const control = byteOf(bytes, 0);
  let type = control >> 5;
  let used = 1;
  if (type === POINTER) return { type, size: control & 31, at: position + 1 };
  if (type === 0) {
    type = 7 + byteOf(bytes, 1);
    used = 2;
  }
  let size = control & 31;
  const more = Math.max(0, size - 28);
  if (more > 0) {
    const base = [0, 29, 285, 65_821][more] as number;
    size = base + bytes.readUIntBE(used, more);
  }
  if (size > MAX_SIZE) throw new Error("the place database is damaged: a value is too long");
  return { type, size, at: position + used + more };
}

/** Two bits say how many bytes follow; three more are the pointer's high bits, but for the longest. */
function pointerAt(file: BlockFile, { size, at }: Head): { target: number; next: number } {
  const more = (size >> 3) + 1;
  const number = file.slice(at, more).readUIntBE(0, more);
  const base = [0, 0, 2048, 526_336, 0][more] as number;
  const high = more === 4 ? 0 : (size & 7) * 256 ** more;
  return { target: high + number + base, next: at + more };
}

function readMap({ size, at }: Head, read: (at: number) => Read): Read {
  const map: Record<string, MmdbValue> = Object.create(null);
  let next = at;
  for (let index = 0; index < size; index += 1) {
    const key = read(next);
    const value = read(key.next);
    map[String(key.value)] = value.value;
    next = value.next;
  }
  return { value: map, next };
}

function readArray({ size, at }: Head, read: (at: number) => Read): Read {
  const list: MmdbValue[] = [];
  let next = at;
  for (let index = 0; index < size; index += 1) {
    const item = read(next);
    list.push(item.value);
    next = item.next;
  }
  return { value: list, next };
}

function scalarOf(type: number, bytes: Buffer): MmdbValue {
  if (type === STRING) return bytes.toString("utf8");
  if (type === DOUBLE) return bytes.readDoubleBE(0);
  if (type === FLOAT) return bytes.readFloatBE(0);
  if (type === BYTES) return Buffer.from(bytes);
  if (type === INT32) return bytes.length === 4 ? bytes.readInt32BE(0) : unsignedOf(bytes);
  const most = UNSIGNED.get(type);
  if (most === undefined || bytes.length > most)
    throw new Error("the place database is damaged: unknown type of value");
  return most > 4 ? BigInt(`0x${bytes.toString("hex") || "0"}`) : unsignedOf(bytes);
}

function unsignedOf(bytes: Buffer): number {
  return bytes.length === 0 ? 0 : bytes.readUIntBE(0, bytes.length);
}

function byteOf(bytes: Buffer, index: number): number {
  const byte = bytes[index];
  if (byte === undefined) throw new Error("the place database is damaged: it ends within a value");
  return byte;
}
