import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** How a file is held. */
export interface BlockOptions {
  blockBytes: number;
  /** Memory for blocks; the least recently needed make room. */
  maxBytes: number;
}

/**
 * A file that is read by position, with a bounded part of it in memory. What `slice` returns holds until the next call.
 * Eviction is the clock algorithm: as good as LRU here, and without work on a hit.
 */
export class BlockFile {
  readonly sizeBytes: number;
  readonly #file: number;
  readonly #blockBytes: number;
  readonly #slab: Buffer;
  readonly #slotOf: Int32Array;
  readonly #blockOf: Int32Array;
  readonly #wanted: Uint8Array;
  #hand = 0;

  constructor(path: string, { blockBytes, maxBytes }: BlockOptions) {
    this.#file = openSync(path, "r");
    this.sizeBytes = fstatSync(this.#file).size;
    this.#blockBytes = blockBytes;
    const blocks = Math.ceil(this.sizeBytes / blockBytes);
    const slots = Math.max(2, Math.min(blocks, Math.floor(maxBytes / blockBytes)));
    this.#slab = Buffer.alloc(slots * blockBytes);
    this.#slotOf = new Int32Array(blocks).fill(-1);
    this.#blockOf = new Int32Array(slots).fill(-1);
    this.#wanted = new Uint8Array(slots);
  }

  /** The bytes from `position` on, fewer at the end of the file. */
  slice(position: number, length: number): Buffer {
    const block = Math.floor(position / this.#blockBytes);
    const start = position - block * this.#blockBytes;
    if (start + length <= this.#blockBytes) {
      const from = this.#slot(block) * this.#blockBytes + start;
      return this.#slab.subarray(from, from + Math.min(length, this.sizeBytes - position));
    }
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, this.sizeBytes - position)));
    readSync(this.#file, bytes, 0, bytes.length, position);
    return bytes;
  }

  /** A big-endian number of 1 to 6 bytes that does not cross the border of a block. */
  number(position: number, bytes: number): number {
    const block = Math.floor(position / this.#blockBytes);
    const from = this.#slot(block) * this.#blockBytes + position - block * this.#blockBytes;
    let number = 0;
    for (let index = 0; index < bytes; index += 1) number = number * 256 + (this.#slab[from + index] as number);
    return number;
  }

  close(): void {
    closeSync(this.#file);
  }

  #slot(block: number): number {
    const known = this.#slotOf[block] as number;
    if (known >= 0) {
      this.#wanted[known] = 1;
      return known;
    }
    const slot = this.#free();
    const from = slot * this.#blockBytes;
    const length = Math.min(this.#blockBytes, this.sizeBytes - block * this.#blockBytes);
    if (readSync(this.#file, this.#slab, from, length, block * this.#blockBytes) !== length)
      throw new Error("the file has become shorter while it was open");
    this.#slotOf[block] = slot;
    this.#blockOf[slot] = block;
    return slot;
  }

  #free(): number {
    while (this.#wanted[this.#hand] === 1) {
      this.#wanted[this.#hand] = 0;
      this.#hand = (this.#hand + 1) % this.#wanted.length;
    }
    const slot = this.#hand;
    this.#hand = (slot + 1) % this.#wanted.length;
    const before = this.#blockOf[slot] as number;
    if (before >= 0) this.#slotOf[before] = -1;
    this.#blockOf[slot] = -1;
    return slot;
  }
}
