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
  const next = { ...doc, attributes: { ...doc.attributes }, updatedAt: at };
  for (const [key, value] of Object.entries(said)) {
    if (isProfileKey(key)) {
      const name = PROFILE[key];
      if (once && next[name] !== undefined) continue;
      if (value === null || value === "") delete next[name];
      else next[name] = key === "$email" ? String(value).trim().toLowerCase() : String(value);
      continue;
    }
    if (once && Object.hasOwn(next.attributes, key)) continue;
    if (value === null) delete next.attributes[key];
    else next.attributes[key] = knownOf(value, at);
  }
  if (Object.keys(next.attributes).length > MOST_ATTRIBUTES)
    throw fail("VISITOR_DATA", { field: "visitor.data", must: `makes more than ${MOST_ATTRIBUTES} attributes` });
  return next;
}

function isProfileKey(key: string): key is ProfileKey {
  return Object.hasOwn(PROFILE, key);
}

function knownOf(value: unknown, at: number): Known {
  if (typeof value === "number") return { type: "number", text: String(value), number: value, at };
  if (typeof value === "boolean") return { type: "boolean", text: String(value), truth: value, at };
  const text = String(value);
  const time = DATE.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? { type: "string", text, at } : { type: "date", text, time, at };
}

/** Which of two visitors stays when they are one: who was identified first, ties by id. */
export function survivorOf(one: VisitorDoc, other: VisitorDoc): [stays: VisitorDoc, goes: VisitorDoc] {
  const first = one.identifiedAt ?? Number.POSITIVE_INFINITY;
  const second = other.identifiedAt ?? Number.POSITIVE_INFINITY;
  const isFirst = first === second ? one.visitorId < other.visitorId : first < second;
  return isFirst ? [one, other] : [other, one];
}

/** The visitor that stays, with the devices of the one that goes and with what was said last of either. */
export function merged(stays: VisitorDoc, goes: VisitorDoc, at: number): VisitorDoc {
  const attributes = { ...stays.attributes };
  for (const [key, value] of Object.entries(goes.attributes))
    if (!Object.hasOwn(attributes, key) || (attributes[key]?.at ?? 0) < value.at) attributes[key] = value;
  const newer = goes.updatedAt > stays.updatedAt ? { ...stays, ...profileOf(goes) } : { ...profileOf(goes), ...stays };
  const devices = [...new Set([...stays.devices, ...goes.devices])].sort();
  return {
    ...newer,
    id: stays.id,
    visitorId: stays.visitorId,
    version: stays.version,
    attributes,
    devices,
    updatedAt: at,
  };
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

/** What stays of a visitor that was forgotten: that it was. */
export function forgotten(doc: VisitorDoc, { at, position }: { at: number; position: number }): VisitorDoc {
  const { id, visitorId, test, version } = doc;
  return { id, visitorId, test, version, attributes: {}, devices: [], erasedAt: at, erasedTo: position, updatedAt: at };
}

function profileOf({ email, phone, firstName, lastName }: VisitorDoc) {
  const all = { email, phone, firstName, lastName };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
