import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { NotificationSchema } from "#gen/waymark/tags/v1/notifications_pb.ts";
import type { GetThreadRewardResponseSchema, MessageSchema, TagProfileSchema } from "#gen/waymark/tags/v1/scan_pb.ts";
import type { TagScanSchema, TagSchema } from "#gen/waymark/tags/v1/tags_pb.ts";
import type { ThreadDetailSchema, ThreadSchema } from "#gen/waymark/tags/v1/threads_pb.ts";
import type { Sealer } from "#runtime/seal.ts";
import type { MessageDoc, NoticeDoc, ScanDoc, TagDoc, ThreadDoc } from "./model.ts";
import { relays, showsProfile, statusAt } from "./rules.ts";
import { numberOf } from "./words.ts";

/** A tag as its owner sees it. */
export function toTag(tag: TagDoc, { publicUrl, now }: { publicUrl: string; now: number }) {
  return {
    id: tag.id,
    encryptedId: tag.encryptedId,
    scanUrl: scanUrl(publicUrl, tag.encryptedId),
    qrImageUrl: `${publicUrl}/api/v1/scan/${tag.encryptedId}/qr`,
    itemName: tag.itemName,
    description: tag.description,
    ownerName: tag.ownerName,
    tagType: numberOf.type(tag.tagType),
    status: numberOf.status(statusAt(tag, now)),
    lostMessage: tag.lostMessage,
    reward: tag.reward,
    photos: tag.photos,
    contactEnabled: tag.contactEnabled,
    isPrivate: tag.isPrivate,
    emergencyAvailable: tag.emergencyAvailable,
    expiresAt: tag.expiresAt === undefined ? undefined : timestampFromMs(tag.expiresAt),
    createdAt: timestampFromMs(tag.createdAt),
    updatedAt: timestampFromMs(tag.updatedAt),
  } satisfies MessageInitShape<typeof TagSchema>;
}

/** What the printed code of a tag leads to. */
export function scanUrl(publicUrl: string, encryptedId: string): string {
  return `${publicUrl}/scan/${encryptedId}`;
}

/** What a finder sees of a tag. */
export function toProfile(tag: TagDoc, now: number) {
  const status = statusAt(tag, now);
  const state = {
    tagId: tag.id,
    status: numberOf.status(status),
    tagType: numberOf.type(tag.tagType),
    contactEnabled: tag.contactEnabled && relays(tag, now),
    emergencyAvailable: tag.emergencyAvailable,
  };
  if (!showsProfile(tag, now)) return state satisfies MessageInitShape<typeof TagProfileSchema>;
  return {
    ...state,
    itemName: tag.itemName,
    description: tag.description,
    ownerName: tag.ownerName,
    lostMessage: status === "LOST" ? tag.lostMessage : undefined,
    reward: tag.reward?.amount,
    photos: tag.photos,
  } satisfies MessageInitShape<typeof TagProfileSchema>;
}

/** The reward for a thing, as its finder sees it. */
export function toReward(tag: TagDoc) {
  const reward = tag.isPrivate ? undefined : tag.reward;
  return { offered: reward !== undefined, ...reward } satisfies MessageInitShape<typeof GetThreadRewardResponseSchema>;
}

/** A scan of a tag. */
export function toScan(scan: ScanDoc) {
  const { id, country, region, city } = scan;
  return { id, scannedAt: timestampFromMs(scan.scannedAt), country, region, city } satisfies MessageInitShape<
    typeof TagScanSchema
  >;
}

/** Where the content of a message is sealed. */
export function contentPlace(messageId: string): string {
  return `tags.messages/${messageId}`;
}

/** Where a text of a thread is sealed. */
export function threadPlace(threadId: string, field: "finderName" | "lastMessage"): string {
  return `tags.threads/${threadId}/${field}`;
}

/** A message of a thread, opened. */
export function toMessage(message: MessageDoc, sealer: Sealer) {
  return {
    id: message.id,
    sender: numberOf.sender(message.sender),
    content: sealer.open(message.content, contentPlace(message.id)),
    createdAt: timestampFromMs(message.createdAt),
  } satisfies MessageInitShape<typeof MessageSchema>;
}

/** What list and detail of a thread share. `tag` is missing only while the tag is being removed. */
function threadHead(thread: ThreadDoc, { tag, sealer }: { tag: TagDoc | undefined; sealer: Sealer }) {
  return {
    id: thread.id,
    tagId: thread.tagId,
    tagName: tag?.itemName ?? "",
    finderName: sealer.open(thread.finderName, threadPlace(thread.id, "finderName")),
    unreadCount: thread.unread,
    status: numberOf.thread(thread.status),
    createdAt: timestampFromMs(thread.createdAt),
    updatedAt: timestampFromMs(thread.updatedAt),
  };
}

/** A thread as a row of the owner's list. */
export function toThread(thread: ThreadDoc, about: { tag: TagDoc | undefined; sealer: Sealer }) {
  const lastMessage = about.sealer.open(thread.lastMessage, threadPlace(thread.id, "lastMessage"));
  return { ...threadHead(thread, about), lastMessage } satisfies MessageInitShape<typeof ThreadSchema>;
}

/** A thread with its messages, as its owner sees it. */
export function toThreadDetail(
  thread: ThreadDoc,
  about: { tag: TagDoc | undefined; sealer: Sealer; messages: readonly MessageDoc[] },
) {
  const messages = about.messages.map((message) => toMessage(message, about.sealer));
  return { ...threadHead(thread, about), threadId: thread.id, messages } satisfies MessageInitShape<
    typeof ThreadDetailSchema
  >;
}

/** A notice. */
export function toNotification(notice: NoticeDoc) {
  const data = notice.type === "TAG_SCANNED" ? { tagId: notice.tagId } : { threadId: notice.threadId };
  return {
    id: notice.id,
    type: numberOf.notification(notice.type),
    title: notice.title,
    body: notice.body,
    read: notice.read,
    data,
    createdAt: timestampFromMs(notice.createdAt),
  } satisfies MessageInitShape<typeof NotificationSchema>;
}
