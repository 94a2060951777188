import { createHash } from "node:crypto";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import type { ListValue, Value } from "@bufbuild/protobuf/wkt";
import { ListValueSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { fail } from "#runtime/failure.ts";

/** What `template` may be; codes.proto says the same. */
export const TEMPLATES = ["business", "rewards", "events", "personal", "hospitality", "healthcare", "retail"] as const;

const MAX_URL = 2048;
const MAX_METADATA_KEYS = 50;
const MAX_METADATA_BYTES = 16_384;
const MAX_TAGS = 50;
const MAX_TAG = 64;
const MAX_WELCOME = 2000;

function refuse(field: string, must: string): Error {
  return fail("INVALID_FIELD", { field, must });
}

/** An http or https URL as it was given, or a refusal that names the field. */
export function checkUrl(url: string, field: string): string {
  const fine = url.length <= MAX_URL && !/[\s\p{Cc}]/u.test(url);
  const parsed = fine ? URL.parse(url) : null;
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw refuse(field, `must be an http or https URL of at most ${MAX_URL} characters, without spaces`);
  return url;
}

/** Metadata within its limits, or a refusal that names the field. */
export function checkMetadata(metadata: JsonObject, field: string): JsonObject {
  if (Object.keys(metadata).length > MAX_METADATA_KEYS)
    throw refuse(field, `must have at most ${MAX_METADATA_KEYS} keys`);
  if (Buffer.byteLength(JSON.stringify(metadata)) > MAX_METADATA_BYTES)
    throw refuse(field, `must be at most ${MAX_METADATA_BYTES} bytes of JSON`);
  return metadata;
}

/** Metadata whose values are all texts, or a refusal that names the key. */
export function checkTexts(metadata: JsonObject, field: string): JsonObject {
  for (const [key, value] of Object.entries(metadata))
    if (typeof value !== "string") throw refuse(`${field}.${key}`, "must be a text");
  return checkMetadata(metadata, field);
}

/** Each tag once, in the order given, or a refusal that names the tag's place. */
export function checkTags(tags: readonly JsonValue[], field: string): string[] {
  if (tags.length > MAX_TAGS) throw refuse(field, `must have at most ${MAX_TAGS} tags`);
  const texts = tags.map((tag, i) => {
    if (typeof tag === "string" && tag !== "" && [...tag].length <= MAX_TAG) return tag;
    throw refuse(`${field}[${i}]`, `must be a text of 1 to ${MAX_TAG} characters`);
  });
  return [...new Set(texts)];
}

/** The tags of a PATCH. */
export function readTags(list: ListValue, field: string): string[] {
  return checkTags(toJson(ListValueSchema, list) as JsonValue[], field);
}

/** A text of a PATCH; undefined is null or empty, and clears. */
export function readText(value: Value, field: string): string | undefined {
  const json = toJson(ValueSchema, value);
  if (json === null || json === "") return undefined;
  if (typeof json !== "string") throw refuse(field, "must be a text or null");
  return json;
}

/** The welcome message of a PATCH. */
export function readWelcome(value: Value, field: string): string | undefined {
  const text = readText(value, field);
  if (text !== undefined && [...text].length > MAX_WELCOME)
    throw refuse(field, `must be at most ${MAX_WELCOME} characters long`);
  return text;
}

/** The template of a PATCH. */
export function readTemplate(value: Value, field: string): string | undefined {
  const text = readText(value, field);
  if (text !== undefined && !TEMPLATES.some((known) => known === text))
    throw refuse(field, `must be one of ${TEMPLATES.join(", ")}, or null`);
  return text;
}

/** The destination of a PATCH. */
export function readUrl(value: Value, field: string): string | undefined {
  const text = readText(value, field);
  return text === undefined ? undefined : checkUrl(text, field);
}

/** The name of a link that was given none: its destination without the scheme, at most 200 characters. */
export function nameOfUrl(url: string): string {
  return (
    url
      .replace(/^https?:\/\//i, "")
      .replace(/\/$/, "")
      .slice(0, 200) || url.slice(0, 200)
  );
}

/** Small letters and digits that nobody takes for another: no 0 o 1 l i. */
const LETTERS = "abcdefghjkmnpqrstuvwxyz23456789";

/** How many random bytes a short id of the n-th attempt needs: six letters, and eight when four attempts met taken ones. */
export function shortIdLength(attempt: number): number {
  return attempt < 4 ? 6 : 8;
}

/** A short id from random bytes, one letter a byte. The first letters are a little likelier; it guards no secret. */
export function shortIdOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => LETTERS[byte % LETTERS.length]).join("");
}

/** The id of a tag: follows from its name, so nobody has to look it up. Test tags are others. */
export function tagId(name: string, test: boolean): string {
  const hash = createHash("sha256")
    .update(`${test ? "test" : "live"}/${name}`)
    .digest("hex");
  return `tag_${hash.slice(0, 24)}`;
}

/** True when the text stands in one of the words, capitals or not. */
export function mentions(words: readonly string[], search: string): boolean {
  const wanted = search.toLowerCase();
  return words.some((word) => word.toLowerCase().includes(wanted));
}
