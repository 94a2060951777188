import { isIP } from "node:net";
import type { JsonObject } from "@bufbuild/protobuf";
import { EarningStatus, type EarningType } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { ReferralStatus } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import { fail } from "#runtime/failure.ts";
import type { Change } from "#runtime/store.ts";
import type { EarningDoc, ReferralDoc } from "./model.ts";

const LIMIT = 50;
const LIMIT_MAX = 100;
const METADATA_KEYS = 50;
const METADATA_BYTES = 16 * 1024;
const USER_AGENT_CHARACTERS = 4096;
/** As intake has it. */
const EARLIEST_MS = Date.UTC(2000, 0, 1);
const AHEAD_MS = 10 * 60_000;
const ID = /^[A-Za-z0-9_.:-]{1,64}$/; // "imp_123abc"

/** Which items of a list are wanted. */
export interface Page {
  limit: number;
  skip: number;
}

/** The page that is served: above the maximum the maximum. */
export function pageOf({ limit = LIMIT, offset }: { limit?: number | undefined; offset: number }): Page {
  return { limit: Math.min(limit, LIMIT_MAX), skip: offset };
}

/** Refuses what is not an absolute http or https URL. */
export function checkUrl(field: string, value: string): void {
  const url = /[\s\p{Cc}]/u.test(value) ? null : URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === "")
    throw fail("INVALID_FIELD", { field, must: "must be an http or https URL without spaces" });
}

/** Metadata of a new object, refused when it is too large. */
export function newMetadata(given: JsonObject | undefined): JsonObject {
  const fault = given === undefined ? undefined : metadataFault(given);
  if (fault !== undefined) throw fail("INVALID_FIELD", { field: "metadata", must: fault });
  return given ?? {};
}

/** Metadata after a change: members overlay those of the same name, null removes one. */
export function mergeMetadata(present: JsonObject, given: JsonObject): JsonObject {
  const all = Object.entries({ ...present, ...given });
  return newMetadata(Object.fromEntries(all.filter(([key, value]) => value !== null || given[key] !== null)));
}

function metadataFault(metadata: JsonObject): string | undefined {
  if (Object.keys(metadata).length > METADATA_KEYS) return `must have at most ${METADATA_KEYS} keys`;
  const bytes = Buffer.byteLength(JSON.stringify(metadata));
  return bytes > METADATA_BYTES ? "must be at most 16 KiB" : undefined;
}

/** An impression as it came in. Times are milliseconds since 1970. */
export interface Scan {
  id?: string | undefined;
  posterId: string;
  at?: number | undefined;
  userAgent?: string | undefined;
  ipAddress?: string | undefined;
  metadata?: JsonObject | undefined;
}

/** What is wrong with an impression apart from whether its poster exists, or undefined. */
export function faultOf(scan: Scan, now: number): string | undefined {
  if (scan.id !== undefined && !ID.test(scan.id)) return "id must be 1 to 64 of A-Z a-z 0-9 _ . : -";
  if (scan.posterId === "") return "poster_id is required";
  if (scan.at !== undefined && scan.at > now + AHEAD_MS) return "scanned_at must be at most 10 minutes ahead";
  if (scan.at !== undefined && scan.at < EARLIEST_MS) return "scanned_at must not be before the year 2000";
  if (scan.ipAddress && isIP(scan.ipAddress) === 0) return "ip_address must be an IPv4 or IPv6 address";
  if (scan.userAgent !== undefined && scan.userAgent.length > USER_AGENT_CHARACTERS)
    return `user_agent must be at most ${USER_AGENT_CHARACTERS} characters`;
  const fault = scan.metadata === undefined ? undefined : metadataFault(scan.metadata);
  return fault === undefined ? undefined : `metadata ${fault}`;
}

/** What a request wants changed in a referral. An empty picture removes it. */
export interface ReferralPatch {
  firstName?: string | undefined;
  lastName?: string | undefined;
  email?: string | undefined;
  profilePicture?: string | undefined;
  status?: ReferralStatus | undefined;
  verifiedAt?: number | undefined;
  metadata?: JsonObject | undefined;
}

/** Decides what a patch does to a referral. Becoming verified for the first time sets the time, unless it is given. */
export function changeReferral(doc: ReferralDoc, patch: ReferralPatch, now: number): Change<ReferralDoc> {
  const { profilePicture, metadata, ...plain } = patch;
  const becomesVerified = patch.status === ReferralStatus.VERIFIED && doc.verifiedAt === undefined;
  const verifiedAt = patch.verifiedAt ?? (becomesVerified ? now : undefined);
  const set = { ...plain, verifiedAt, ...merged(doc.metadata, metadata) };
  return changeOf(set, { profilePicture }, now);
}

/** What a request wants changed in an earning. An empty description or reference removes it. */
export interface EarningPatch {
  amount?: number | undefined;
  currency?: string | undefined;
  type?: EarningType | undefined;
  status?: EarningStatus | undefined;
  description?: string | undefined;
  referenceId?: string | undefined;
  metadata?: JsonObject | undefined;
}

/** Decides what a patch does to an earning. Becoming paid for the first time sets the time. */
export function changeEarning(doc: EarningDoc, patch: EarningPatch, now: number): Change<EarningDoc> {
  const { description, referenceId, metadata, ...plain } = patch;
  const paidAt = patch.status === EarningStatus.PAID && doc.paidAt === undefined ? now : undefined;
  const set = { ...plain, paidAt, ...merged(doc.metadata, metadata) };
  return changeOf(set, { description, referenceId }, now);
}

function merged(present: JsonObject, given: JsonObject | undefined): { metadata?: JsonObject } {
  return given === undefined ? {} : { metadata: mergeMetadata(present, given) };
}

/** `removable` texts are removed by an empty string; what is undefined stays as it is. */
function changeOf(set: Record<string, unknown>, removable: Record<string, string | undefined>, now: number) {
  const texts = Object.entries(removable);
  const given = [...Object.entries(set), ...texts.filter(([, value]) => value !== "")];
  const known = given.filter(([, value]) => value !== undefined);
  const unset = texts.filter(([, value]) => value === "").map(([name]) => name);
  return { set: { ...Object.fromEntries(known), updatedAt: now }, unset };
}
