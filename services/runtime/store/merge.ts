import { compare, type Scalar } from "./condition.ts";
import type { SortKey } from "./query.ts";
import type { Found } from "./scan.ts";

/** Streams in the same order, and what of their union is wanted. */
export interface Merging {
  streams: readonly AsyncGenerator<Found[]>[];
  keys: readonly SortKey[];
  limit: number;
  skip: number;
  /** Documents a chunk. */
  size: number;
}

interface Head {
  stream: AsyncGenerator<Found[]>;
  chunk: Found[];
  at: number;
}

/** The union of the streams in their common order, in chunks. */
export async function* merge({ streams, keys, limit, skip, size }: Merging): AsyncGenerator<Found[]> {
  const heads: Head[] = [];
  for (const stream of streams) {
    const head = await pull({ stream, chunk: [], at: 0 });
    if (head !== undefined) heads.push(head);
  }
  let chunk: Found[] = [];
  for (let number = 0; heads.length > 0 && number < skip + limit; number++) {
    const head = lowest(heads, keys);
    if (number >= skip) chunk.push(head.chunk[head.at] as Found);
    head.at += 1;
    if (head.at === head.chunk.length && (await pull(head)) === undefined) heads.splice(heads.indexOf(head), 1);
    if (chunk.length === size) {
      yield chunk;
      chunk = [];
    }
  }
  if (chunk.length > 0) yield chunk;
}

async function pull(head: Head): Promise<Head | undefined> {
  const next = await head.stream.next();
  if (next.done === true) return undefined;
  head.chunk = next.value;
  head.at = 0;
  return head;
}

function lowest(heads: readonly Head[], keys: readonly SortKey[]): Head {
  return heads.reduce((best, head) => (follows(best, head, keys) ? head : best));
}

function follows(a: Head, b: Head, keys: readonly SortKey[]): boolean {
  const [one, two] = [a.chunk[a.at] as Found, b.chunk[b.at] as Found];
  for (const { field, descending } of keys) {
    const sign = order(one[field], two[field]) * (descending ? -1 : 1);
    if (sign !== 0) return sign > 0;
  }
  return false;
}

/** Absent values are the lowest. */
function order(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return Number(a !== undefined) - Number(b !== undefined);
  return compare(a as Scalar, b as Scalar);
}
