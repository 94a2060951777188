import { crc32 } from "node:zlib";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type TouchInput, TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { openBytes, sealBytes } from "#runtime/seal.ts";

/** Whose a touch is. */
export interface Owner {
  workspace: string;
  /** Of a code that a development key made. */
  test: boolean;
}

/** One word for an owner. */
export function nameOf({ workspace, test }: Owner): string {
  return `${workspace}/${test}`;
}

/** A touch as it goes into a file. */
export interface Packed {
  owner: Owner;
  id: string;
  bytes: Uint8Array;
}

/** A touch as it comes out of one. */
export interface Unpacked {
  owner: Owner;
  touch: TouchInput;
}

/** Key of a queue, and the name of the file: what is sealed opens in this file alone. */
export interface Seal {
  key: Buffer;
  place: string;
}

// A file is frames one after another. Frame: length u32, CRC-32 of the sealed bytes u32, sealed bytes.
// Opened: touches one after another. Touch: length u32, test u8, length of the workspace u8, workspace, TouchInput.
const FRAME_HEAD = 8;
const TOUCH_HEAD = 6;
const SEAL_BYTES = 28;

/** Encodes a touch; throws when its workspace has no name that fits. */
export function pack(touch: TouchInput, owner: Owner): Packed {
  const name = Buffer.from(owner.workspace);
  if (name.length > 255) throw new Error("a workspace has no name of more than 255 bytes");
  const body = toBinary(TouchInputSchema, touch);
  const bytes = Buffer.alloc(TOUCH_HEAD + name.length + body.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes[4] = owner.test ? 1 : 0;
  bytes[5] = name.length;
  bytes.set(name, TOUCH_HEAD);
  bytes.set(body, TOUCH_HEAD + name.length);
  return { owner, id: touch.id, bytes };
}

/** Bytes that touches of this many bytes take in a file. */
export function frameBytes(size: number): number {
  return FRAME_HEAD + SEAL_BYTES + size;
}

/** Makes one frame of touches. */
export function frameOf(touches: readonly Pick<Packed, "bytes">[], seal: Seal): Buffer {
  const sealed = sealBytes(Buffer.concat(touches.map(({ bytes }) => bytes)), seal);
  const head = Buffer.alloc(FRAME_HEAD);
  head.writeUInt32LE(sealed.length, 0);
  head.writeUInt32LE(crc32(sealed), 4);
  return Buffer.concat([head, sealed]);
}

/** What stands in a file, up to the first frame that is not whole. */
export interface Contents {
  touches: Unpacked[];
  /** Bytes of whole frames. */
  goodBytes: number;
}

/** Reads a file. A torn or damaged frame ends it; throws when a whole frame does not open: it was sealed with another key. */
export function readFrames(file: Buffer, seal: Seal): Contents {
  const touches: Unpacked[] = [];
  let at = 0;
  while (at + FRAME_HEAD <= file.length) {
    const end = at + FRAME_HEAD + file.readUInt32LE(at);
    const sealed = file.subarray(at + FRAME_HEAD, end);
    if (end > file.length || sealed.length < SEAL_BYTES || crc32(sealed) !== file.readUInt32LE(at + 4)) break;
    for (const touch of unpack(openBytes(sealed, seal))) touches.push(touch);
    at = end;
  }
  return { touches, goodBytes: at };
}

function* unpack(bytes: Buffer): Iterable<Unpacked> {
  for (let at = 0; at < bytes.length; ) {
    const end = at + bytes.readUInt32LE(at);
    const body = at + TOUCH_HEAD + bytes.readUInt8(at + 5);
    const owner = { workspace: bytes.toString("utf8", at + TOUCH_HEAD, body), test: bytes[at + 4] === 1 };
    yield { owner, touch: fromBinary(TouchInputSchema, bytes.subarray(body, end)) };
    at = end;
  }
}
