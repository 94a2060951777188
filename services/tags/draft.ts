import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { timestampMs, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import {
  type CreateTagRequest,
  PhotoSchema,
  RewardSchema,
  type UpdateTagRequest,
} from "#gen/waymark/tags/v1/tags_pb.ts";
import type { Change } from "#runtime/store.ts";
import type { PhotoPart, RewardPart, TagDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { initialStatus, optionalText, photos, reward, statusAt, step, text } from "./rules.ts";
import { statusWord, typeWord } from "./words.ts";

/** What a new tag has that its request does not say. */
export interface NewTagFacts {
  id: string;
  encryptedId: string;
  now: number;
  test: boolean;
}

/** The tag that a request asks for. */
export function newTag(request: Omit<CreateTagRequest, "$typeName" | "$unknown">, facts: NewTagFacts): TagDoc {
  const { now, ...given } = facts;
  return {
    ...given,
    itemName: text(request.itemName, "item_name"),
    ownerName: text(request.ownerName, "owner_name"),
    description: optionalText(request.description),
    tagType: typeWord(request.tagType) ?? "GENERAL",
    status: initialStatus(statusWord(request.status)),
    statusSince: now,
    lostMessage: optionalText(request.lostMessage),
    reward: request.reward && reward(request.reward),
    photos: photos(request.photos),
    contactEnabled: request.contactEnabled ?? true,
    isPrivate: request.isPrivate ?? false,
    emergencyAvailable: false,
    expiresAt: request.expiresAt && timestampMs(request.expiresAt),
    createdAt: now,
    updatedAt: now,
  };
}

/** The tag after a request. What the request leaves out stays; null clears. Throws when a step of the status is forbidden. */
export function patchTag(tag: TagDoc, request: Omit<UpdateTagRequest, "$typeName" | "$unknown">, now: number): TagDoc {
  const current = statusAt(tag, now);
  const wanted = statusWord(request.status);
  const status = wanted === undefined ? current : step(current, wanted);
  const next: TagDoc = { ...tag, status, updatedAt: now };
  if (status !== tag.status) next.statusSince = now;
  if (request.itemName !== undefined) next.itemName = text(request.itemName, "item_name");
  if (request.ownerName !== undefined) next.ownerName = text(request.ownerName, "owner_name");
  if (request.tagType !== undefined) next.tagType = typeWord(request.tagType) ?? next.tagType;
  if (request.contactEnabled !== undefined) next.contactEnabled = request.contactEnabled;
  if (request.isPrivate !== undefined) next.isPrivate = request.isPrivate;
  if (request.description) next.description = textOf(request.description, { field: "description", max: 1000 });
  if (request.lostMessage) next.lostMessage = textOf(request.lostMessage, { field: "lost_message", max: 500 });
  if (request.reward) next.reward = rewardOf(request.reward);
  if (request.photos) next.photos = photosOf(request.photos);
  if (request.expiresAt) next.expiresAt = timeOf(request.expiresAt);
  else if (wanted !== undefined && statusAt(next, now) !== status) next.expiresAt = undefined; // a revival outlives its old end
  return next;
}

const CHANGEABLE = [
  "itemName",
  "ownerName",
  "tagType",
  "status",
  "statusSince",
  "contactEnabled",
  "isPrivate",
  "description",
  "lostMessage",
  "reward",
  "photos",
  "expiresAt",
  "updatedAt",
] as const satisfies readonly (keyof TagDoc)[];

/** The write that makes a stored tag like this one. */
export function changeTo(next: TagDoc): Change<TagDoc> {
  const set = Object.fromEntries(CHANGEABLE.filter((key) => next[key] !== undefined).map((key) => [key, next[key]]));
  return { set, unset: CHANGEABLE.filter((key) => next[key] === undefined) };
}

function textOf(value: Value, { field, max }: { field: string; max: number }): string | undefined {
  const json = toJson(ValueSchema, value);
  if (json === null) return undefined;
  if (typeof json !== "string" || [...json].length > max)
    throw fail("FIELD_INVALID", { field, must: `must be a text of at most ${max} characters, or null` });
  return optionalText(json);
}

function rewardOf(value: Value): RewardPart | undefined {
  const json = toJson(ValueSchema, value);
  if (json === null) return undefined;
  const refusal = () =>
    fail("FIELD_INVALID", { field: "reward", must: "must have amount, currency and description, or be null" });
  return reward(read(() => fromJson(RewardSchema, json, { ignoreUnknownFields: true }), refusal));
}

function photosOf(value: Value): PhotoPart[] {
  const json = toJson(ValueSchema, value);
  if (json === null) return [];
  const refusal = () =>
    fail("FIELD_INVALID", { field: "photos", must: "must be a list of objects with url and isPrimary" });
  if (!Array.isArray(json)) throw refusal();
  const one = (item: JsonValue) => read(() => fromJson(PhotoSchema, item, { ignoreUnknownFields: true }), refusal);
  return photos(json.map(one));
}

// "2026-12-31", "2026-12-31T10:00:00Z", "2026-12-31T10:00:00.000+01:00"
const TIME = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/i;

function timeOf(value: Value): number | undefined {
  const json = toJson(ValueSchema, value);
  if (json === null) return undefined;
  const time = typeof json === "string" && TIME.test(json) ? Date.parse(json) : Number.NaN;
  if (Number.isNaN(time))
    throw fail("FIELD_INVALID", { field: "expires_at", must: "must be an ISO 8601 time with zone, or null" });
  return time;
}

function read<T>(parse: () => T, refusal: () => Error): T {
  try {
    return parse();
  } catch {
    throw refusal();
  }
}
