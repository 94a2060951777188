import { createHash } from "node:crypto";
import bowser from "bowser";
import type { AccessDoc } from "./model.ts";
import { fail } from "./reasons.ts";

/** Whom to call. */
export interface Contact {
  name: string;
  relationship?: string | undefined;
  phone: string;
}

/** What first responders need to know. */
export interface Profile {
  bloodType?: string | undefined;
  conditions: string[];
  allergies: string[];
  medications: string[];
  physician?: string | undefined;
  physicianPhone?: string | undefined;
  specialInstructions?: string | undefined;
  organDonor?: boolean | undefined;
  emergencyContacts: Contact[];
}

/** The profile as it is stored: white space around texts is dropped, and a text of white space alone is absent. */
export function tidy(given: Readonly<Profile>): Profile {
  return {
    bloodType: text(given.bloodType),
    conditions: texts(given.conditions),
    allergies: texts(given.allergies),
    medications: texts(given.medications),
    physician: text(given.physician),
    physicianPhone: text(given.physicianPhone),
    specialInstructions: text(given.specialInstructions),
    organDonor: given.organDonor,
    emergencyContacts: given.emergencyContacts.map(({ name, relationship, phone }, index) => ({
      name: needed(name, `emergency_contacts[${index}].name`),
      relationship: text(relationship),
      phone: needed(phone, `emergency_contacts[${index}].phone`),
    })),
  };
}

function text(value: string | undefined): string | undefined {
  return value?.trim() || undefined;
}

function texts(values: readonly string[]): string[] {
  return values.map((value) => value.trim()).filter((value) => value !== "");
}

function needed(value: string, field: string): string {
  const trimmed = value.trim();
  if (trimmed === "") throw fail("FIELD_INVALID", { field, must: "must not be blank" });
  return trimmed;
}

// "curl/8.5.0" → "curl"
const PROGRAM = /^([A-Za-z][A-Za-z0-9._-]{0,31})\//;

/** Browser and system of a user agent, "Safari on iOS", or the name of a program, "curl". Empty when it tells nothing. */
export function clientOf(userAgent: string): string {
  if (userAgent === "") return "";
  const { browser, os } = bowser.parse(userAgent.slice(0, 512));
  const program = PROGRAM.exec(userAgent)?.[1];
  const name = browser.name || (program === "Mozilla" ? undefined : program);
  return [name, os.name].filter(Boolean).join(" on ");
}

/** Hash before the first entry of an access log. */
export const NO_HASH = "0".repeat(64);

/** A look before it is linked to the one before. */
export interface Look {
  tagId: string;
  at: number;
  ip: string;
  client: string;
}

/** The entry that follows `last` in the log of a tag. */
export function nextAccess(last: Pick<AccessDoc, "sequence" | "hash"> | undefined, look: Look): AccessDoc {
  const sequence = (last?.sequence ?? 0) + 1;
  const entry = { ...look, sequence, previousHash: last?.hash ?? NO_HASH };
  return { id: `${look.tagId}/${sequence}`, ...entry, hash: hashOf(entry) };
}

function hashOf({ previousHash, tagId, sequence, at, ip, client }: Omit<AccessDoc, "id" | "hash">): string {
  const content = JSON.stringify([previousHash, tagId, sequence, at, ip, client]);
  return createHash("sha256").update(content).digest("hex");
}

/** Whether an entry is what was written after `last`. */
export function isLinked(last: Pick<AccessDoc, "sequence" | "hash"> | undefined, entry: AccessDoc): boolean {
  const follows = entry.sequence === (last?.sequence ?? 0) + 1 && entry.previousHash === (last?.hash ?? NO_HASH);
  return follows && entry.hash === hashOf(entry);
}
