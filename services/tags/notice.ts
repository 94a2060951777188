import type { NoticeDoc, TagDoc } from "./model.ts";

/** A place in words: "Portland, US". Empty when nothing is known. */
function placeText({ city, region, country }: { city?: string; region?: string; country?: string }): string {
  return [city || region, country].filter(Boolean).join(", ");
}

/** The notice of a scan of a lost or stolen tag. The same touch gives the same notice. */
export function scanNotice(
  tag: TagDoc,
  scan: { touchId: string; scannedAt: number; city?: string; region?: string; country?: string },
): NoticeDoc {
  const place = placeText(scan);
  return {
    id: `ntf_${scan.touchId}`,
    type: "TAG_SCANNED",
    title: `Your ${tag.status === "STOLEN" ? "stolen" : "lost"} tag was scanned`,
    body:
      place === ""
        ? `"${tag.itemName}" was scanned; the place is unknown.`
        : `"${tag.itemName}" was scanned near ${place}.`,
    tagId: tag.id,
    read: false,
    test: tag.test,
    createdAt: scan.scannedAt,
  };
}

/** The notice of a message of a finder. It does not hold what was written. */
export function messageNotice(tag: TagDoc, message: { messageId: string; threadId: string; at: number }): NoticeDoc {
  return {
    id: `ntf_${message.messageId}`,
    type: "MESSAGE_RECEIVED",
    title: "New message from a finder",
    body: `A finder wrote to you about "${tag.itemName}".`,
    tagId: tag.id,
    threadId: message.threadId,
    read: false,
    test: tag.test,
    createdAt: message.at,
  };
}
