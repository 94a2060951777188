import type { ServiceImpl } from "@connectrpc/connect";
import type { ScanService } from "#gen/waymark/tags/v1/scan_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import { draw } from "#runtime/picture.ts";
import { contentPlace, scanUrl, threadPlace, toMessage, toProfile, toReward } from "./messages.ts";
import type { TagDoc, ThreadDoc } from "./model.ts";
import { messageNotice } from "./notice.ts";
import { fail } from "./reasons.ts";
import { recordTouch } from "./record.ts";
import { assertContact, assertThread, finderName, HOUR_MS, messageText, relays, waitSeconds } from "./rules.ts";
import { hashToken, newToken, printedTag, type Shared, tokenThread } from "./store.ts";
import { addMessage, threadMessages } from "./thread.ts";
import { numberOf } from "./words.ts";

/** How printed tags look. */
const PRINTED = { margin: 4, ecc: "M", dark: "000000", light: "FFFFFF" } as const;
const CONTACTS_AN_HOUR = 20;
const REPLIES_AN_HOUR = 60;

/** Handlers of ScanService. */
export function scanHandlers(shared: Shared): ServiceImpl<typeof ScanService> {
  return {
    async scanTag({ encryptedId }, handler) {
      const context = contextOf(handler);
      const { workspace, tag } = await printedTag(shared, encryptedId);
      await recordTouch(shared.deps, { context, workspace, tag });
      return { profile: toProfile(tag, context.now()) };
    },

    async drawTag({ encryptedId, format, size }, handler) {
      const { tag } = await printedTag(shared, encryptedId);
      const url = scanUrl(shared.publicUrl, tag.encryptedId);
      const drawing = { ...PRINTED, format: format === "svg" ? "svg" : "png", size: size ?? 512 } as const;
      const { etag, ...picture } = await draw(url, drawing);
      handler.responseHeader.set("etag", etag);
      handler.responseHeader.set("cache-control", "public, max-age=3600");
      return { picture };
    },

    async contactOwner(request, handler) {
      const context = contextOf(handler);
      const text = messageText(request.message);
      const { workspace, tag } = await printedTag(shared, request.encryptedId);
      assertContact(tag, context.now());
      await assertContactRate(shared, { workspace, tag, now: context.now() });
      const name = finderName(request.finderName);
      const token = await openThread(shared, { context, workspace, tag, text, name });
      const message = "Message sent to the tag owner. Use the thread token to check for replies.";
      return { threadToken: token, message };
    },

    async getFinderThread({ token }) {
      const { workspace, thread, tag } = await tokenThread(shared, token);
      const sealer = shared.sealer(workspace);
      const messages = await threadMessages(shared, workspace, thread.id);
      return {
        thread: {
          threadId: thread.id,
          tagName: tag.isPrivate ? undefined : tag.itemName,
          status: numberOf.thread(thread.status),
          messages: messages.map((message) => toMessage(message, sealer)),
        },
      };
    },

    async replyToThread(request, handler) {
      const context = contextOf(handler);
      const text = messageText(request.message);
      const { workspace, thread, tag } = await tokenThread(shared, request.token);
      assertThread(thread.status);
      if (!relays(tag, context.now())) throw fail("RELAY_ENDED");
      await assertReplyRate(shared, { workspace, thread, now: context.now() });
      const message = await addMessage(shared, { context, workspace, thread, text, sender: "FINDER" });
      await notify(shared, workspace, { tag, messageId: message.id, threadId: thread.id, at: message.createdAt });
      return { message: toMessage(message, shared.sealer(workspace)) };
    },

    async getThreadReward({ token }) {
      const { tag } = await tokenThread(shared, token);
      return toReward(tag);
    },
  };
}

async function assertContactRate(
  shared: Shared,
  { workspace, tag, now }: { workspace: string; tag: TagDoc; now: number },
): Promise<void> {
  const where = { tagId: tag.id, createdAt: { gt: now - HOUR_MS } };
  const recent = await shared.threads.of(workspace).find({ where, sort: [["createdAt", -1]], limit: CONTACTS_AN_HOUR });
  refuseUntil(
    waitSeconds(
      recent.map(({ createdAt }) => createdAt),
      { most: CONTACTS_AN_HOUR, now },
    ),
  );
}

async function assertReplyRate(
  shared: Shared,
  { workspace, thread, now }: { workspace: string; thread: ThreadDoc; now: number },
): Promise<void> {
  const where = { threadId: thread.id, createdAt: { gt: now - HOUR_MS }, sender: "FINDER" as const };
  const recent = await shared.messages.of(workspace).find({ where, sort: [["createdAt", -1]], limit: REPLIES_AN_HOUR });
  refuseUntil(
    waitSeconds(
      recent.map(({ createdAt }) => createdAt),
      { most: REPLIES_AN_HOUR, now },
    ),
  );
}

function refuseUntil(seconds: number): void {
  if (seconds > 0) throw fail("CONTACT_LIMIT", { seconds });
}

interface NewThread {
  context: RequestContext;
  workspace: string;
  tag: TagDoc;
  text: string;
  name: string;
}

/** Stores a new thread with its first message, and returns its token. The thread itself comes last: without it the rest is nothing. */
async function openThread(shared: Shared, { context, workspace, tag, text, name }: NewThread): Promise<string> {
  const now = context.now();
  const threadId = context.newId("thr");
  const messageId = context.newId("msg");
  const token = newToken();
  const tokenHash = hashToken(token);
  const { seal } = shared.sealer(workspace);
  await shared.tokens.insert({ id: tokenHash, workspaceId: workspace, threadId });
  const content = seal(text, contentPlace(messageId));
  const message = { id: messageId, threadId, tagId: tag.id, sender: "FINDER", content, createdAt: now } as const;
  await shared.messages.of(workspace).insert(message);
  await shared.threads.of(workspace).insert({
    id: threadId,
    tagId: tag.id,
    tokenHash,
    finderName: seal(name, threadPlace(threadId, "finderName")),
    lastMessage: seal(text, threadPlace(threadId, "lastMessage")),
    unread: 1,
    status: "ACTIVE",
    test: tag.test,
    createdAt: now,
    updatedAt: now,
  });
  await notify(shared, workspace, { tag, messageId, threadId, at: now });
  return token;
}

async function notify(
  shared: Shared,
  workspace: string,
  { tag, ...message }: { tag: TagDoc; messageId: string; threadId: string; at: number },
): Promise<void> {
  await shared.notices.of(workspace).insert(messageNotice(tag, message));
}
