import type { PhotoPart, RewardPart, TagDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import type { Status, ThreadState } from "./words.ts";

const MESSAGE_MAX = 2000;
const NAME_MAX = 80;
const PHOTOS_MAX = 20;
const URL_MAX = 2048;
const AMOUNT_MAX = 1_000_000_000;

/** What a tag may become. Documented by the vendor but for the last two columns, which its text gives. */
const STEPS: Readonly<Record<Status, readonly Status[]>> = {
  PENDING_SETUP: ["ACTIVE", "DEACTIVATED", "EXPIRED"],
  ACTIVE: ["LOST", "STOLEN", "DEACTIVATED", "EXPIRED"],
  LOST: ["FOUND", "ACTIVE", "DEACTIVATED", "EXPIRED"],
  FOUND: ["ACTIVE", "DEACTIVATED", "EXPIRED"],
  STOLEN: ["ACTIVE", "DEACTIVATED", "EXPIRED"],
  DEACTIVATED: ["ACTIVE"],
  EXPIRED: ["ACTIVE", "DEACTIVATED"],
};

/** The statuses that a new tag may have. */
const INITIAL: readonly Status[] = ["ACTIVE", "PENDING_SETUP", "LOST"];

/** The statuses in which finders see the profile and messages are passed on. */
const OPEN: readonly Status[] = ["ACTIVE", "LOST", "FOUND", "STOLEN"];

/** The statuses that end when `expiresAt` has passed. */
export const MORTAL: readonly Status[] = [...OPEN, "PENDING_SETUP"];

/** Decides a step of the status. The same status again is no step, so a client may retry. */
export function step(from: Status, to: Status): Status {
  if (from === to || STEPS[from].includes(to)) return to;
  throw fail("STATUS_STEP", { field: "status", from, to, allowed: STEPS[from].join(", ") });
}

/** The status of a new tag. */
export function initialStatus(wanted: Status | undefined): Status {
  if (wanted === undefined) return "ACTIVE";
  if (!INITIAL.includes(wanted)) throw fail("STATUS_INITIAL", { field: "status" });
  return wanted;
}

/** Where a tag stands: EXPIRED once its time is over, whatever was written last. */
export function statusAt(tag: Pick<TagDoc, "status" | "expiresAt">, now: number): Status {
  const over = tag.expiresAt !== undefined && tag.expiresAt <= now;
  return over && MORTAL.includes(tag.status) ? "EXPIRED" : tag.status;
}

/** Whether finders see the profile of a tag. */
export function showsProfile(tag: Pick<TagDoc, "status" | "expiresAt" | "isPrivate">, now: number): boolean {
  return !tag.isPrivate && OPEN.includes(statusAt(tag, now));
}

/** Whether messages between finder and owner are passed on. */
export function relays(tag: Pick<TagDoc, "status" | "expiresAt">, now: number): boolean {
  return OPEN.includes(statusAt(tag, now));
}

/** Throws unless a finder may write to the owner of a tag. */
export function assertContact(tag: Pick<TagDoc, "status" | "expiresAt" | "contactEnabled">, now: number): void {
  if (!tag.contactEnabled) throw fail("CONTACT_DISABLED");
  if (!relays(tag, now)) throw fail("RELAY_ENDED");
}

/** Throws unless a thread takes messages. */
export function assertThread(status: ThreadState): void {
  if (status !== "ACTIVE") throw fail("THREAD_ENDED", { status: status.toLowerCase() });
}

/** Whether a scan at that time gives the owner a notice: the tag was LOST or STOLEN by then, and still is. */
export function isAlarming(tag: TagDoc, at: { scannedAt: number; now: number }): boolean {
  const status = statusAt(tag, at.now);
  return (status === "LOST" || status === "STOLEN") && tag.statusSince <= at.scannedAt;
}

/** Whether the scans of a tag are medical touches. */
export function isMedical(tag: Pick<TagDoc, "tagType" | "emergencyAvailable">): boolean {
  return tag.tagType === "MEDICAL" || tag.emergencyAvailable;
}

/** Seconds until another of at most `most` things an hour may happen; 0: now. `times`: the latest ones, newest first. */
export function waitSeconds(times: readonly number[], { most, now }: { most: number; now: number }): number {
  const oldest = times[most - 1];
  return oldest === undefined ? 0 : Math.max(0, Math.ceil((oldest + HOUR_MS - now) / 1000));
}

/** An hour. */
export const HOUR_MS = 3_600_000;

/** A text without the white space around it. Throws when nothing is left. */
export function text(value: string, field: string): string {
  const trimmed = value.trim();
  if (trimmed === "") throw fail("FIELD_INVALID", { field, must: "must not be blank" });
  return trimmed;
}

/** A text without the white space around it; undefined when nothing is left. */
export function optionalText(value: string | undefined): string | undefined {
  return value?.trim() || undefined;
}

/** A message to be passed on. */
export function messageText(value: string): string {
  const trimmed = value.trim();
  const length = [...trimmed].length;
  if (length < 1 || length > MESSAGE_MAX)
    throw fail("FIELD_INVALID", { field: "message", must: "must have 1 to 2,000 characters" });
  return trimmed;
}

/** How a finder is called. */
export function finderName(value: string | undefined): string {
  return [...(value?.trim() || "Finder")].slice(0, NAME_MAX).join("");
}

/** A reward that can be stored. */
export function reward(given: { amount: number; currency: string; description?: string | undefined }): RewardPart {
  const { amount } = given;
  const cents = amount * 100;
  if (!(amount >= 0 && amount <= AMOUNT_MAX) || Math.abs(cents - Math.round(cents)) > 1e-6 * Math.max(1, amount))
    throw fail("FIELD_INVALID", { field: "reward.amount", must: "must be 0 or more, with at most two decimals" });
  const currency = (given.currency || "USD").toUpperCase();
  if (!Intl.supportedValuesOf("currency").includes(currency))
    throw fail("FIELD_INVALID", {
      field: "reward.currency",
      must: "must be an ISO 4217 code of three letters, as USD",
    });
  const description = optionalText(given.description);
  if (description !== undefined && [...description].length > 200)
    throw fail("FIELD_INVALID", { field: "reward.description", must: "must have at most 200 characters" });
  return { amount: Math.round(cents) / 100, currency, ...(description !== undefined && { description }) };
}

/** Pictures that can be stored. */
export function photos(given: readonly { url: string; isPrimary: boolean }[]): PhotoPart[] {
  if (given.length > PHOTOS_MAX)
    throw fail("FIELD_INVALID", { field: "photos", must: `must have at most ${PHOTOS_MAX} items` });
  return given.map(({ url, isPrimary }, index) => {
    const parsed = url.length <= URL_MAX ? URL.parse(url) : null;
    if (parsed === null || !/^https?:$/.test(parsed.protocol))
      throw fail("FIELD_INVALID", { field: `photos[${index}].url`, must: "must be an http or https URL" });
    return { url, isPrimary };
  });
}

/** How many pages a list has. */
export function pageMeta(total: number, { page, limit }: { page: number; limit: number }) {
  return { total, page, totalPages: Math.ceil(total / limit) };
}
