import { createHash } from "node:crypto";
import ipaddr from "ipaddr.js";
import {
  DeviceIdentitySetting,
  IpSetting,
  PlaceSetting,
  UserAgentSetting,
} from "#gen/waymark/access/v1/authority_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { isTimezone } from "#runtime/routing.ts";
import type { KeyDoc, PreviousSecret, PrivacyDoc, WorkspaceDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { CLASS_SCOPES, SCOPES } from "./scopes.ts";

/** The workspace that exists from the first start; its admin keys may make workspaces. */
export const DEFAULT_WORKSPACE = "default";

/** What is stored of a secret. SHA-256 is enough: secrets are 256 random bits, not passwords. */
export function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** A secret from 32 random bytes. */
export function secretFrom(random: Buffer): string {
  return `wmk_${random.toString("base64url")}`;
}

/** Refuses classes that the caller has no say over: admin for all but admins, and for test keys all but development. */
export function checkClass(ofKey: string, caller: Principal): void {
  if (ofKey === "admin" && !caller.scopes.includes("admin")) throw fail("CLASS_NOT_ALLOWED");
  if (ofKey !== "development" && caller.test) throw fail("TEST_KEYS_ONLY");
}

/** Refuses scopes that are unknown, not of the class, or not held by the one who grants them. */
export function checkScopes(wanted: { class: string; scopes: readonly string[] }, granter: Principal): void {
  checkClass(wanted.class, granter);
  const isAdmin = granter.scopes.includes("admin");
  const ofClass = CLASS_SCOPES[wanted.class] ?? Object.keys(SCOPES).filter((scope) => scope !== "admin");
  wanted.scopes.forEach((scope, index) => {
    const facts = { field: `scopes[${index}]`, scope, class: wanted.class };
    if (!Object.hasOwn(SCOPES, scope)) throw fail("SCOPE_UNKNOWN", facts);
    if (!ofClass.includes(scope)) throw fail("SCOPE_NOT_IN_CLASS", facts);
    if (!isAdmin && !granter.scopes.includes(scope)) throw fail("SCOPE_NOT_HELD", { scope });
  });
}

/** Refuses the change of a key that the caller could not have made: what it may do from now on would be a way around. */
export function checkAbove(key: Pick<KeyDoc, "id" | "class" | "scopes">, caller: Principal): void {
  checkClass(key.class, caller);
  if (caller.scopes.includes("admin")) return;
  if (!key.scopes.every((scope) => caller.scopes.includes(scope))) throw fail("KEY_ABOVE", { keyId: key.id });
}

/** Refuses what is neither an address nor a CIDR. */
export function checkAllowList(list: readonly string[]): void {
  list.forEach((entry, index) => {
    if (!isAddress(entry)) throw fail("ADDRESS_INVALID", { field: `ip_allow_list[${index}]` });
  });
}

/** IPv4 in four decimal parts only: others take "010.0.0.1" for another address than we would. */
function isAddress(entry: string): boolean {
  if (!entry.includes(":")) {
    return ipaddr.IPv4.isValidFourPartDecimal(entry) || ipaddr.IPv4.isValidCIDRFourPartDecimal(entry);
  }
  return !entry.includes("%") && (ipaddr.IPv6.isValid(entry) || ipaddr.IPv6.isValidCIDR(entry));
}

/** Origins as browsers send them: lower case, without the port that the scheme has anyway. Refuses what is none. */
export function readOrigins(list: readonly string[]): string[] {
  return list.map((text, index) => {
    const origin = /^https?:\/\/[A-Za-z0-9.-]+(?::[0-9]{1,5})?$/.test(text) ? URL.parse(text)?.origin : undefined;
    if (origin === undefined) throw fail("ORIGIN_INVALID", { field: `origins[${index}]` });
    return origin;
  });
}

/** Refuses an end that is not ahead. */
export function checkExpiry(expiresAt: number | undefined, now: number): void {
  if (expiresAt !== undefined && expiresAt <= now) throw fail("EXPIRY_PAST", { field: "expires_at" });
}

/** Refuses what is not the name of a time zone; Intl takes "+01:00" too, which changes with no summer. */
export function checkTimezone(timezone: string | undefined): void {
  if (timezone !== undefined && !isTimezone(timezone)) throw fail("TIMEZONE_UNKNOWN", { field: "timezone" });
}

/** Whether an address is on a list; an empty list allows all, an unknown address is on none. */
export function isAllowed(ip: string, list: readonly string[]): boolean {
  if (list.length === 0) return true;
  if (!ipaddr.isValid(ip)) return false;
  const address = ipaddr.process(ip);
  return list.some((entry) => {
    const [range, bits] = rangeOf(entry);
    return range.kind() === address.kind() && address.match(range as never, bits);
  });
}

/** The address and the length of its prefix. IPv4 written as IPv6, "::ffff:192.0.2.0/120", is IPv4. */
function rangeOf(entry: string): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  const [address, bits] = ipaddr.parseCIDR(entry.includes("/") ? entry : `${entry}/${entry.includes(":") ? 128 : 32}`);
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96)
    return [address.toIPv4Address(), bits - 96];
  return [address, bits];
}

/** Why a key cannot be used for a call, or undefined when it can. */
export function refusalOf(key: KeyDoc, call: { hash: string; ip: string; origin: string; now: number }) {
  if (isEnded(key, call.now)) return "KEY_REVOKED";
  if (call.hash !== key.hash && endOfSecret(key, call) === undefined) return "KEY_REVOKED";
  if (!isAllowed(call.ip, key.ipAllowList)) return "ADDRESS_NOT_ALLOWED";
  if (key.class === "publishable" && !key.origins.includes(call.origin)) return "ORIGIN_NOT_ALLOWED";
  return undefined;
}

/** Revoked or past its end. */
export function isEnded(key: Pick<KeyDoc, "revokedAt" | "expiresAt">, now: number): boolean {
  return key.revokedAt !== undefined || (key.expiresAt !== undefined && key.expiresAt <= now);
}

/** When an earlier secret of a key ends; undefined for one that has ended, and for the present one. */
export function endOfSecret(key: Pick<KeyDoc, "previous">, call: { hash: string; now: number }): number | undefined {
  return key.previous?.find(({ hash, until }) => hash === call.hash && call.now < until)?.until;
}

/** The most earlier secrets of a key that work at a time. */
const MOST_SECRETS = 10;

/**
 * The secrets that work beside the next one. An earlier one keeps its own end, or gets this one if it is sooner: a rotation
 * that is repeated does not cut off the secret that is in use, and one without overlap ends all.
 */
export function replacedSecrets(key: KeyDoc, wanted: { overlapSeconds: number; now: number }): PreviousSecret[] {
  const end = wanted.now + wanted.overlapSeconds * 1000;
  const earlier = (key.previous ?? []).map(({ hash, until }) => ({ hash, until: Math.min(until, end) }));
  const working = [{ hash: key.hash, until: end }, ...earlier].filter(({ until }) => until > wanted.now);
  if (working.length > MOST_SECRETS) throw fail("SECRETS_MANY", { keyId: key.id, count: working.length - 1 });
  return working;
}

/** Every hash that a key is or was lately known by. */
export function hashesOf(key: Pick<KeyDoc, "hash" | "previous">): string[] {
  return [key.hash, ...(key.previous ?? []).map(({ hash }) => hash)];
}

/** What a new workspace collects: a city, a device that is recognised, an address without its end. */
export const DEFAULT_PRIVACY: PrivacyDoc = {
  ip: IpSetting.TRUNCATED,
  userAgent: UserAgentSetting.FULL,
  place: PlaceSetting.CITY,
  deviceIdentity: DeviceIdentitySetting.STABLE,
  respectGpc: true,
  consentRequired: false,
};

/** A new workspace. */
export function newWorkspace(given: { id: string; name: string; firstKeyId?: string; now: number }): WorkspaceDoc {
  return {
    id: given.id,
    name: given.name,
    firstKeyId: given.firstKeyId,
    timezone: "UTC",
    plan: "self-hosted",
    privacy: DEFAULT_PRIVACY,
    retention: { scansDays: 0, threadsDays: 0, accessLogDays: 0 },
    createdAt: given.now,
  };
}

/** A cursor of a list that is ordered by time and id. */
export function encodeCursor(last: { createdAt: number; id: string } | undefined): string {
  return last === undefined ? "" : Buffer.from(JSON.stringify([last.createdAt, last.id])).toString("base64url");
}

/** Where a list goes on; refuses what `encodeCursor` did not make. */
export function decodeCursor(token: string): { createdAt: number; id: string } | undefined {
  if (token === "") return undefined;
  try {
    const [createdAt, id] = JSON.parse(Buffer.from(token, "base64url").toString()) as [unknown, unknown];
    const last = { createdAt: createdAt as number, id: id as string };
    if (Number.isSafeInteger(createdAt) && typeof id === "string" && encodeCursor(last) === token) return last;
  } catch {
    // Anything that is not our JSON is refused below, as a wrong shape is.
  }
  throw fail("PAGE_TOKEN_INVALID", { field: "page_token" });
}
