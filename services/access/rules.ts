import { createHash } from "node:crypto";
import ipaddr from "ipaddr.js";
import {
  DeviceIdentitySetting,
  IpSetting,
  PlaceSetting,
  UserAgentSetting,
} from "#gen/waymark/access/v1/authority_pb.ts";
import type { Principal } from "#runtime/context.ts";
import type { KeyDoc, PrivacyDoc, WorkspaceDoc } from "./model.ts";
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

/** Refuses scopes that are unknown, not of the class, or not held by the one who grants them. */
export function checkScopes(wanted: { class: string; scopes: readonly string[] }, granter: Principal): void {
  const isAdmin = granter.scopes.includes("admin");
  if (wanted.class === "admin" && !isAdmin) throw fail("CLASS_NOT_ALLOWED");
  const ofClass = CLASS_SCOPES[wanted.class] ?? Object.keys(SCOPES).filter((scope) => scope !== "admin");
  wanted.scopes.forEach((scope, index) => {
    const facts = { field: `scopes[${index}]`, scope, class: wanted.class };
    if (SCOPES[scope] === undefined) throw fail("SCOPE_UNKNOWN", facts);
    if (!ofClass.includes(scope)) throw fail("SCOPE_NOT_IN_CLASS", facts);
    if (!isAdmin && !granter.scopes.includes(scope)) throw fail("SCOPE_NOT_HELD", { scope });
  });
}

/** Refuses what is neither an address nor a CIDR. */
export function checkAllowList(list: readonly string[]): void {
  list.forEach((entry, index) => {
    if (!ipaddr.isValid(entry) && !ipaddr.isValidCIDR(entry))
      throw fail("ADDRESS_INVALID", { field: `ip_allow_list[${index}]` });
  });
}

/** Refuses an end that is not ahead. */
export function checkExpiry(expiresAt: number | undefined, now: number): void {
  if (expiresAt !== undefined && expiresAt <= now) throw fail("EXPIRY_PAST", { field: "expires_at" });
}

/** Refuses what Intl does not know. */
export function checkTimezone(timezone: string | undefined): void {
  if (timezone === undefined) return;
  try {
    new Intl.DateTimeFormat("en", { timeZone: timezone });
  } catch (cause) {
    throw fail("TIMEZONE_UNKNOWN", { field: "timezone" }, cause);
  }
}

/** Whether an address is on a list; an empty list allows all, an unknown address is on none. */
export function isAllowed(ip: string, list: readonly string[]): boolean {
  if (list.length === 0) return true;
  if (!ipaddr.isValid(ip)) return false;
  const address = ipaddr.process(ip);
  return list.some((entry) => {
    const [range, bits] = entry.includes("/") ? ipaddr.parseCIDR(entry) : [ipaddr.parse(entry), 128];
    if (range.kind() !== address.kind()) return false;
    return address.match(range as never, Math.min(bits, range.kind() === "ipv4" ? 32 : 128));
  });
}

/** Why a key cannot be used for a call, or undefined when it can. */
export function refusalOf(key: KeyDoc, call: { hash: string; ip: string; origin: string; now: number }) {
  if (key.revokedAt !== undefined) return "KEY_REVOKED";
  if (key.expiresAt !== undefined && key.expiresAt <= call.now) return "KEY_REVOKED";
  if (call.hash !== key.hash && !isOverlapping(key, call)) return "KEY_REVOKED";
  if (!isAllowed(call.ip, key.ipAllowList)) return "ADDRESS_NOT_ALLOWED";
  if (key.class === "publishable" && !key.origins.includes(call.origin)) return "ORIGIN_NOT_ALLOWED";
  return undefined;
}

function isOverlapping(key: KeyDoc, call: { hash: string; now: number }): boolean {
  return call.hash === key.previousHash && call.now < (key.previousUntil ?? 0);
}

/** An address as the audit trail keeps it: the last octet, or the last 80 bits of IPv6, zeroed. */
export function truncateIp(ip: string): string {
  if (!ipaddr.isValid(ip)) return "";
  const address = ipaddr.process(ip);
  const keep = address.kind() === "ipv4" ? 3 : 6;
  const bytes = address.toByteArray().map((byte, index) => (index < keep ? byte : 0));
  return ipaddr.fromByteArray(bytes).toString();
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
export function newWorkspace(given: { id: string; name: string; now: number }): WorkspaceDoc {
  return {
    id: given.id,
    name: given.name,
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
    if (typeof createdAt === "number" && typeof id === "string") return { createdAt, id };
  } catch {
    // Anything that is not our JSON is refused below, as a wrong shape is.
  }
  throw fail("PAGE_TOKEN_INVALID", { field: "page_token" });
}
