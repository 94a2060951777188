import { type Doc, defineModel } from "#runtime/model.ts";
import type { Sender, Status, ThreadState, Type } from "./words.ts";

/** A picture of the thing. */
export interface PhotoPart {
  url: string;
  isPrimary: boolean;
}

/** What the owner gives for its return. */
export interface RewardPart {
  amount: number;
  currency: string;
  description?: string;
}

/** A tag as stored. */
export interface TagDoc extends Doc {
  encryptedId: string;
  itemName: string;
  description?: string;
  ownerName: string;
  tagType: Type;
  /** As last written; `statusAt` in rules.ts says where the tag stands now. */
  status: Status;
  /** When the status was last changed. */
  statusSince: number;
  lostMessage?: string;
  reward?: RewardPart;
  photos: PhotoPart[];
  contactEnabled: boolean;
  isPrivate: boolean;
  emergencyAvailable: boolean;
  expiresAt?: number;
  test: boolean;
  createdAt: number;
  updatedAt: number;
  /** It is being removed with all that hangs on it, and does not exist for anyone. */
  deletedAt?: number;
}

/** Where the thread of a token is; its id is the SHA-256 of the token. Kept in the system workspace. */
export interface TokenDoc extends Doc {
  workspaceId: string;
  threadId: string;
}

/** A conversation with a finder. Texts are sealed. */
export interface ThreadDoc extends Doc {
  tagId: string;
  tokenHash: string;
  finderName: string;
  lastMessage: string;
  unread: number;
  status: ThreadState;
  test: boolean;
  createdAt: number;
  updatedAt: number;
}

/** One message; its content is sealed. */
export interface MessageDoc extends Doc {
  threadId: string;
  tagId: string;
  sender: Sender;
  content: string;
  createdAt: number;
}

/** One scan by a person; its id is that of the touch. */
export interface ScanDoc extends Doc {
  tagId: string;
  scannedAt: number;
  country?: string;
  region?: string;
  city?: string;
  /** The log position that made it; another one with the same id is a duplicate. */
  position: number;
}

/** A notice to the owner. */
export interface NoticeDoc extends Doc {
  type: "TAG_SCANNED" | "MESSAGE_RECEIVED";
  title: string;
  body: string;
  tagId: string;
  threadId?: string;
  read: boolean;
  test: boolean;
  createdAt: number;
}

/** Tags. */
export const tagModel = defineModel<TagDoc>({
  name: "tags.tags",
  fields: {
    encryptedId: { kind: "string", required: true },
    itemName: { kind: "string", required: true },
    description: { kind: "string" },
    ownerName: { kind: "string", required: true },
    tagType: { kind: "string", default: "GENERAL" },
    status: { kind: "string", default: "ACTIVE" },
    statusSince: { kind: "number", required: true },
    lostMessage: { kind: "string" },
    reward: { kind: "object" },
    photos: { kind: "list" },
    contactEnabled: { kind: "boolean", default: true },
    isPrivate: { kind: "boolean", default: false },
    emergencyAvailable: { kind: "boolean", default: false },
    expiresAt: { kind: "number" },
    test: { kind: "boolean", default: false },
    createdAt: { kind: "number", required: true },
    updatedAt: { kind: "number", required: true },
    deletedAt: { kind: "number" },
  },
  indexes: [
    { name: "created", fields: ["test", "createdAt"] },
    { name: "status", fields: ["test", "status", "createdAt"] },
    { name: "expires", fields: ["expiresAt"] },
  ],
});

/** Tokens of threads. */
export const tokenModel = defineModel<TokenDoc>({
  name: "tags.tokens",
  fields: { workspaceId: { kind: "string", required: true }, threadId: { kind: "string", required: true } },
  indexes: [],
});

/** Threads. */
export const threadModel = defineModel<ThreadDoc>({
  name: "tags.threads",
  fields: {
    tagId: { kind: "string", required: true },
    tokenHash: { kind: "string", required: true },
    finderName: { kind: "string", required: true },
    lastMessage: { kind: "string", required: true },
    unread: { kind: "number", default: 0 },
    status: { kind: "string", default: "ACTIVE" },
    test: { kind: "boolean", default: false },
    createdAt: { kind: "number", required: true },
    updatedAt: { kind: "number", required: true },
  },
  indexes: [
    { name: "updated", fields: ["test", "updatedAt"] },
    { name: "status", fields: ["test", "status", "updatedAt"] },
    { name: "tag", fields: ["tagId", "createdAt"] },
  ],
});

/** Messages. */
export const messageModel = defineModel<MessageDoc>({
  name: "tags.messages",
  fields: {
    threadId: { kind: "string", required: true },
    tagId: { kind: "string", required: true },
    sender: { kind: "string", required: true },
    content: { kind: "string", required: true },
    createdAt: { kind: "number", required: true },
  },
  indexes: [
    { name: "thread", fields: ["threadId", "createdAt"] },
    { name: "tag", fields: ["tagId"] },
  ],
});

/** Scans. */
export const scanModel = defineModel<ScanDoc>({
  name: "tags.scans",
  fields: {
    tagId: { kind: "string", required: true },
    scannedAt: { kind: "number", required: true },
    country: { kind: "string" },
    region: { kind: "string" },
    city: { kind: "string" },
    position: { kind: "number", required: true },
  },
  indexes: [{ name: "tag", fields: ["tagId", "scannedAt"] }],
});

/** Notices. */
export const noticeModel = defineModel<NoticeDoc>({
  name: "tags.notices",
  fields: {
    type: { kind: "string", required: true },
    title: { kind: "string", required: true },
    body: { kind: "string", required: true },
    tagId: { kind: "string", required: true },
    threadId: { kind: "string" },
    read: { kind: "boolean", default: false },
    test: { kind: "boolean", default: false },
    createdAt: { kind: "number", required: true },
  },
  indexes: [
    { name: "created", fields: ["test", "createdAt"] },
    { name: "read", fields: ["test", "read", "createdAt"] },
    { name: "tag", fields: ["tagId"] },
  ],
});

/** Everything that the service stores. */
export const tagsModels = [tagModel, tokenModel, threadModel, messageModel, scanModel, noticeModel] as const;
