import type { Address } from "./address.ts";
import { BlockFile } from "./blocks.ts";
import { type DataReader, type MmdbValue, openData } from "./data.ts";

/** What the end of a database says about it. */
export interface Metadata {
  nodeCount: number;
  /** Bits of one record; a node has two. */
  recordSize: 24 | 28 | 32;
  ipVersion: 4 | 6;
  databaseType: string;
}

/** Where an address leads in the tree: the length of the network's prefix, and the position of its record, if it has one. */
export interface Found {
  prefix: number;
  record: number | undefined;
}

/** A database in MaxMind's format, read by position. */
export interface Mmdb {
  metadata: Metadata;
  find: (address: Address) => Found;
  /** The value of a record. */
  value: (record: number) => MmdbValue;
  close: () => void;
}

/** Begins the metadata. It is within the last 128 KiB. */
const MARKER = Buffer.from([0xab, 0xcd, 0xef, ...Buffer.from("MaxMind.com")]);
const METADATA_BYTES = 128 * 1024;

/** Zero bytes between tree and data. */
const SEPARATOR_BYTES = 16;

/** A block holds so many nodes, so that no node crosses the border of one. */
const NODES_A_BLOCK = 600;

/** Opens a database. `maxBytes`: memory for the parts of the file that are held. Format: https://maxmind.github.io/MaxMind-DB/ */
export function openMmdb(path: string, { maxBytes }: { maxBytes: number }): Mmdb {
  const metadata = readMetadata(path);
  const nodeBytes = metadata.recordSize / 4;
  const treeBytes = nodeBytes * metadata.nodeCount;
  const file = new BlockFile(path, { blockBytes: nodeBytes * NODES_A_BLOCK, maxBytes });
  const data = openData(file, treeBytes + SEPARATOR_BYTES);
  const read = recordReader(file, metadata.recordSize);
  const tree: Tree = { read, nodeCount: metadata.nodeCount };
  const ipv4Root = metadata.ipVersion === 6 ? rootOfIpv4(tree) : 0;
  return {
    metadata,
    find: (address) => {
      if (address.version === 4) return walk(tree, { node: ipv4Root, bits: 32, bit: bitOfNumber(address.number) });
      if (metadata.ipVersion === 4) return { prefix: 0, record: undefined };
      return walk(tree, { node: 0, bits: 128, bit: bitOfBytes(address.bytes) });
    },
    value: (record) => data.value(treeBytes + record - metadata.nodeCount),
    close: () => file.close(),
  };
}

type RecordReader = (node: number, side: number) => number;

interface Tree {
  read: RecordReader;
  nodeCount: number;
}

interface Walk {
  node: number;
  bits: number;
  bit: (index: number) => number;
}

function walk({ read, nodeCount }: Tree, { node, bits, bit }: Walk): Found {
  let at = node;
  let depth = 0;
  while (depth < bits && at < nodeCount) {
    at = read(at, bit(depth));
    depth += 1;
  }
  return { prefix: depth, record: at > nodeCount ? at : undefined };
}

function bitOfNumber(number: number): (index: number) => number {
  return (index) => (number >>> (31 - index)) & 1;
}

function bitOfBytes(bytes: readonly number[]): (index: number) => number {
  return (index) => ((bytes[index >> 3] as number) >> (7 - (index & 7))) & 1;
}

/** IPv4 addresses are below 96 zero bits. */
function rootOfIpv4({ read, nodeCount }: Tree): number {
  let node = 0;
  for (let depth = 0; depth < 96 && node < nodeCount; depth += 1) node = read(node, 0);
  return node;
}

/** A node of 28-bit records keeps the high four bits of both in its middle byte. */
function recordReader(file: BlockFile, recordSize: Metadata["recordSize"]): RecordReader {
  if (recordSize !== 28) {
    const bytes = recordSize / 8;
    return (node, side) => file.number((node * 2 + side) * bytes, bytes);
  }
  return (node, side) => {
    const four = file.number(node * 7 + side * 3, 4);
    return side === 0 ? ((four % 256) >>> 4) * 0x1000000 + Math.floor(four / 256) : four % 0x10000000;
  };
}

function readMetadata(path: string): Metadata {
  const file = new BlockFile(path, { blockBytes: METADATA_BYTES, maxBytes: 2 * METADATA_BYTES });
  try {
    const start = Math.max(0, file.sizeBytes - METADATA_BYTES);
    const at = file.slice(start, METADATA_BYTES).lastIndexOf(MARKER);
    if (at < 0) throw new Error(`${path} is not a database in MaxMind's format`);
    const begin = start + at + MARKER.length;
    const data: DataReader = openData(file, begin);
    return checkMetadata(path, data.value(begin));
  } finally {
    file.close();
  }
}

function checkMetadata(path: string, value: MmdbValue): Metadata {
  const { node_count, record_size, ip_version, database_type, binary_format_major_version } = value as Record<
    string,
    unknown
  >;
  const isKnown = binary_format_major_version === 2 && typeof node_count === "number";
  if (!isKnown || ![24, 28, 32].includes(record_size as number) || ![4, 6].includes(ip_version as number))
    throw new Error(`${path} is a database in MaxMind's format of an unknown kind`);
  return {
    nodeCount: node_count,
    recordSize: record_size as Metadata["recordSize"],
    ipVersion: ip_version as Metadata["ipVersion"],
    databaseType: String(database_type),
  };
}
