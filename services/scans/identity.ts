import { createHmac } from "node:crypto";
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

/** Length of a pseudonym: 132 bits in base64url. */
const LENGTH = 22;

/** Gives devices their pseudonyms. */
export interface Identities {
  /** Pseudonym of a device in its workspace; empty when nothing is known of it, or the workspace recognises no devices. */
  of: (signs: DeviceSigns, setting: DeviceIdentitySetting) => string;
}

/**
 * Pseudonyms are keyed hashes: equal signs give equal ones, and without the key nobody can try out which address made one.
 * Each workspace has a key of its own, and with the daily setting each day (UTC), so that nothing can be joined across.
 */
export function openIdentities(key: Buffer): Identities {
  const keys = new LRUCache<string, Buffer>({ max: 2_000 });
  const keyOf = (scope: string): Buffer => {
    let found = keys.get(scope);
    if (found === undefined) {
      found = createHmac("sha256", key).update(scope).digest();
      keys.set(scope, found);
    }
    return found;
  };
  return {
    of: ({ workspace, scannedAt, deviceId, ip, userAgent }, setting) => {
      if (setting === DeviceIdentitySetting.NONE) return "";
      if (deviceId === "" && ip === "" && userAgent === "") return "";
      const day = setting === DeviceIdentitySetting.DAILY ? `/${Math.floor(scannedAt / DAY_MS)}` : "";
      const signs = deviceId === "" ? `address\n${ip}\n${userAgent}` : `client\n${deviceId}`;
      return createHmac("sha256", keyOf(`${workspace}${day}`))
        .update(signs)
        .digest("base64url")
        .slice(0, LENGTH);
    },
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
