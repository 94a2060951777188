import { createHmac, hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { DeviceIdentitySetting, type Privacy } from "#gen/waymark/access/v1/authority_pb.ts";
import { DAY_MS } from "./scope.ts";

/** What a device is told by. Empty strings are unknown. */
export interface DeviceSigns {
  workspace: string;
  scannedAt: number;
  /** The client's own pseudonym. */
  deviceId: string;
  ip: string;
  userAgent: string;
}

/** Within what equal signs give equal pseudonyms. */
export interface Scope {
  workspace: string;
  /** Days since 1970 (UTC); absent: for good. */
  day?: number;
}

/** Length of a pseudonym: 132 bits in base64url. */
const LENGTH = 22;

/** Gives devices their pseudonyms. */
export interface Identities {
  /** Pseudonym of a device in its workspace; empty when nothing is known of it, or the workspace recognises no devices. */
  of: (signs: DeviceSigns, setting: DeviceIdentitySetting) => string;
  /** The pseudonym that a text gives; never empty. */
  hash: (scope: Scope, text: string) => string;
}

/** What the pseudonym of a device without one of its own is made of. */
export function addressSigns(ip: string, userAgent: string): string {
  return `address\n${ip}\n${userAgent}`;
}

/**
 * Pseudonyms are keyed hashes: equal signs give equal ones, and without the key nobody can try out which address made one.
 * Each workspace has a key of its own, and with the daily setting each day (UTC), so that nothing can be joined across.
 */
export function openIdentities(key: Buffer): Identities {
  const hashes = new LRUCache<string, KeyedHash>({ max: 2_000 });
  const hashOf = (scope: string): KeyedHash => {
    let found = hashes.get(scope);
    if (found === undefined) {
      found = keyedHash(createHmac("sha256", key).update(scope).digest());
      hashes.set(scope, found);
    }
    return found;
  };
  const pseudonym = ({ workspace, day }: Scope, text: string): string =>
    hashOf(day === undefined ? workspace : `${workspace}/${day}`)(text).slice(0, LENGTH);
  return {
    hash: pseudonym,
    of: ({ workspace, scannedAt, deviceId, ip, userAgent }, setting) => {
      if (setting === DeviceIdentitySetting.NONE) return "";
      if (deviceId === "" && ip === "" && userAgent === "") return "";
      const isDaily = setting === DeviceIdentitySetting.DAILY;
      const signs = deviceId === "" ? addressSigns(ip, userAgent) : `client\n${deviceId}`;
      return pseudonym({ workspace, ...(isDaily && { day: Math.floor(scannedAt / DAY_MS) }) }, signs);
    },
  };
}

type KeyedHash = (text: string) => string;

/** Bytes that SHA-256 takes at once. */
const BLOCK = 64;

/** HMAC-SHA256 in base64url (RFC 2104), of two one-shot hashes: a third of the cost of an Hmac object, for every scan. */
export function keyedHash(key: Buffer): KeyedHash {
  const padded = (byte: number) =>
    Buffer.alloc(BLOCK)
      .fill(key, 0, key.length)
      .map((part) => part ^ byte);
  const inner = padded(0x36);
  const outer = Buffer.concat([padded(0x5c), Buffer.alloc(32)]);
  return (text) => {
    hash("sha256", Buffer.concat([inner, Buffer.from(text, "utf8")]), "buffer").copy(outer, BLOCK);
    return hash("sha256", outer, "base64url");
  };
}

/** What the headers of a touch say about what its device wants. */
export interface Wishes {
  /** Global Privacy Control or Do Not Track. */
  optedOut: boolean;
  /** `x-waymark-consent: granted`, set by a page that has asked. */
  consented: boolean;
}

export function wishesOf(headers: Readonly<Record<string, string>>): Wishes {
  return {
    optedOut: headers["sec-gpc"] === "1" || headers.dnt === "1",
    consented: headers["x-waymark-consent"] === "granted",
  };
}

/** What decides whether a touch may say who it was. */
export interface Asking {
  privacy: Privacy;
  wishes: Wishes;
  /** The client sent its own pseudonym of the device; where consent is required, it has asked for it. */
  hasOwnPseudonym: boolean;
}

/** Whether a touch may have a device identity, and an address. */
export function mayIdentify({ privacy, wishes, hasOwnPseudonym }: Asking): { device: boolean; address: boolean } {
  const isOut = privacy.respectGpc && wishes.optedOut;
  const lacksConsent = privacy.consentRequired && !wishes.consented && !hasOwnPseudonym;
  return { device: !isOut && !lacksConsent, address: !isOut };
}
