import { fail } from "../reasons.ts";
import type { Known, VisitorDoc } from "./model.ts";

/** What is said of a visitor, by key; null takes it back. */
export type Said = Readonly<Record<string, unknown>>;

const MOST_ATTRIBUTES = 100;
const MOST_KEY = 100;
const MOST_TEXT = 2_000;

/** Keys of what every visitor can have. */
const PROFILE = {
  $email: "email",
  $phone: "phone",
  $firstName: "firstName",
  $lastName: "lastName",
} as const satisfies Record<string, keyof VisitorDoc>;

type ProfileKey = keyof typeof PROFILE;

/** What a profile can have, by the keys that clients use. */
export const PROFILE_KEYS = Object.keys(PROFILE) as readonly ProfileKey[];

const DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/;

/** The end of "2026-01-31T10:00Z" or "…+01:00". */
const ZONE = /(?:Z|[+-]\d{2}:\d{2})$/;

/** Checks what is said; refuses what cannot be kept and names it. */
export function checkSaid(said: Said): void {
  const keys = Object.keys(said);
  if (keys.length === 0) throw fail("VISITOR_DATA", { field: "visitor.data", must: "must say something" });
  for (const key of keys) {
    const field = `visitor.data.${key.slice(0, MOST_KEY)}`;
    const isProfile = Object.hasOwn(PROFILE, key);
    if (key === "" || key.length > MOST_KEY || (key.startsWith("$") && !isProfile))
      throw fail("VISITOR_DATA", {
        field,
        must: `is no key: 1 to ${MOST_KEY} characters; with $ only ${PROFILE_KEYS.join(", ")}`,
      });
    checkValue(said[key], { field, isProfile, isEmail: key === "$email" });
  }
}

function checkValue(
  value: unknown,
  { field, isProfile, isEmail }: { field: string; isProfile: boolean; isEmail: boolean },
): void {
  const isPlain = value === null || typeof value === "string" || (!isProfile && /number|boolean/.test(typeof value));
  if (!isPlain)
    throw fail("VISITOR_DATA", {
      field,
      must: isProfile ? "must be a text or null" : "must be a text, a number, true, false or null",
    });
  if (typeof value !== "string") return;
  if (value.length > MOST_TEXT)
    throw fail("VISITOR_DATA", { field, must: `must have at most ${MOST_TEXT} characters` });
  if (isEmail && !/^[^\s@]{1,64}@[^\s@]{1,255}$/.test(value.trim()))
    throw fail("VISITOR_DATA", { field, must: "must be an address" });
}

/** The visitor with what is said of it. `once`: only what is not known yet. */
export function withSaid(doc: VisitorDoc, said: Said, { once, at }: { once: boolean; at: number }): VisitorDoc {
  const next = { ...doc, updatedAt: at };
  const profileAt = new Map(Object.entries(doc.profileAt ?? {}));
  const attributes = new Map(Object.entries(doc.attributes));
  for (const [key, value] of Object.entries(said)) {
    const name = isProfileKey(key) ? PROFILE[key] : undefined;
    if (once && (name === undefined ? attributes.has(key) : next[name] !== undefined)) continue;
    if (name === undefined && value === null) attributes.delete(key);
    else if (name === undefined) attributes.set(key, knownOf(value, at));
    else if (value === null || value === "") {
      delete next[name];
      profileAt.delete(name);
    } else {
      next[name] = key === "$email" ? emailOf(String(value)) : String(value);
      profileAt.set(name, at);
    }
  }
  const before = Object.keys(doc.attributes).length;
  if (attributes.size > Math.max(MOST_ATTRIBUTES, before))
    throw fail("VISITOR_DATA", { field: "visitor.data", must: `makes more than ${MOST_ATTRIBUTES} attributes` });
  return { ...next, attributes: Object.fromEntries(attributes), profileAt: Object.fromEntries(profileAt) };
}

/** An address as it is kept and looked for: without spaces around it, in small letters. */
export function emailOf(text: string): string {
  return text.trim().toLowerCase();
}

function isProfileKey(key: string): key is ProfileKey {
  return Object.hasOwn(PROFILE, key);
}

function knownOf(value: unknown, at: number): Known {
  if (typeof value === "number") return { type: "number", text: String(value), number: value, at };
  if (typeof value === "boolean") return { type: "boolean", text: String(value), truth: value, at };
  const text = String(value);
  const time = timeOf(text);
  return time === undefined ? { type: "string", text, at } : { type: "date", text, time, at };
}

/** Milliseconds since 1970 of a text that is an ISO 8601 date or time, as attributes are; undefined for any other. */
export function timeOf(text: string): number | undefined {
  // Without a zone it is UTC, wherever this runs.
  const time = DATE.test(text) ? Date.parse(text.length > 10 && !ZONE.test(text) ? `${text}Z` : text) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

/** Which of two visitors stays when they are one: who was identified first, ties by id. */
export function survivorOf(one: VisitorDoc, other: VisitorDoc): [stays: VisitorDoc, goes: VisitorDoc] {
  const first = one.identifiedAt ?? Number.POSITIVE_INFINITY;
  const second = other.identifiedAt ?? Number.POSITIVE_INFINITY;
  const isFirst = first === second ? one.visitorId < other.visitorId : first < second;
  return isFirst ? [one, other] : [other, one];
}

/** The visitor that stays, with the devices of the one that goes and with what was said last of either; ties: what it had. */
export function merged(stays: VisitorDoc, goes: VisitorDoc, at: number): VisitorDoc {
  const attributes = new Map(Object.entries(stays.attributes));
  for (const [key, value] of Object.entries(goes.attributes))
    if ((attributes.get(key)?.at ?? Number.NEGATIVE_INFINITY) < value.at) attributes.set(key, value);
  const all = { ...stays, updatedAt: at };
  const profileAt = { ...stays.profileAt };
  for (const name of Object.values(PROFILE)) {
    const theirs = goes.profileAt?.[name] ?? goes.updatedAt;
    const isNewer = all[name] === undefined || (profileAt[name] ?? stays.updatedAt) < theirs;
    if (goes[name] === undefined || !isNewer) continue;
    all[name] = goes[name];
    profileAt[name] = theirs;
  }
  const devices = [...new Set([...stays.devices, ...goes.devices])].sort();
  return { ...all, profileAt, attributes: Object.fromEntries(attributes), devices };
}

/** What stays of a visitor that is part of another now: where to look. */
export function gone(goes: VisitorDoc, { into, at }: { into: string; at: number }): VisitorDoc {
  const { id, visitorId, test, version, identifiedAt, erasedTo } = goes;
  return {
    id,
    visitorId,
    test,
    version,
    attributes: {},
    devices: [],
    mergedInto: into,
    identifiedAt,
    erasedTo,
    updatedAt: at,
  };
}

/** What stays of a visitor that was forgotten: that it was, and the devices that the log has still to be told. */
export function forgotten(
  { id, visitorId, test, version }: VisitorDoc,
  { at, position, devices }: { at: number; position: number; devices: readonly string[] },
): VisitorDoc {
  return { id, visitorId, test, version, attributes: {}, devices, erasedAt: at, erasedTo: position, updatedAt: at };
}

/** Whether something is known of a visitor, or was: it is neither part of another nor forgotten. */
export function isLive({ mergedInto, erasedAt }: VisitorDoc): boolean {
  return mergedInto === undefined && erasedAt === undefined;
}
