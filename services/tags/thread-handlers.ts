import type { ServiceImpl } from "@connectrpc/connect";
import type { NotificationService } from "#gen/waymark/tags/v1/notifications_pb.ts";
import type { ThreadService } from "#gen/waymark/tags/v1/threads_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { audit } from "./announce.ts";
import { toMessage, toNotification, toThread, toThreadDetail } from "./messages.ts";
import { fail } from "./reasons.ts";
import { assertThread, messageText, pageMeta } from "./rules.ts";
import { findPage, type Shared, visibleThread } from "./store.ts";
import { addMessage, threadMessages } from "./thread.ts";
import { threadWord } from "./words.ts";

/** Handlers of ThreadService. */
export function threadHandlers(shared: Shared): ServiceImpl<typeof ThreadService> {
  return {
    async listThreads({ tagId, status, page = 1, limit = 10 }, handler) {
      const { workspace, test } = contextOf(handler).principal;
      const where = { test, tagId, status: threadWord(status) };
      const threads = shared.threads.of(workspace);
      const { docs, total } = await findPage(threads, { where, newest: "updatedAt", page, limit });
      const tags = await shared.tags.of(workspace).getMany([...new Set(docs.map((thread) => thread.tagId))]);
      const sealer = shared.sealer(workspace);
      const rows = docs.map((thread) => toThread(thread, { tag: tags.get(thread.tagId), sealer }));
      return { threads: rows, meta: pageMeta(total, { page, limit }) };
    },

    async getThread({ threadId }, handler) {
      const { principal } = contextOf(handler);
      const { workspace } = principal;
      const thread = await visibleThread(shared, principal, threadId);
      const messages = await threadMessages(shared, workspace, threadId);
      const tag = await shared.tags.of(workspace).get(thread.tagId);
      return { thread: toThreadDetail(thread, { tag, sealer: shared.sealer(workspace), messages }) };
    },

    async sendMessage(request, handler) {
      const context = contextOf(handler);
      const { workspace } = context.principal;
      const text = messageText(request.message);
      const thread = await visibleThread(shared, context.principal, request.threadId);
      assertThread(thread.status);
      const message = await addMessage(shared, { context, workspace, thread, text, sender: "OWNER" });
      return { message: toMessage(message, shared.sealer(workspace)) };
    },

    async updateThread({ threadId, status, read }, handler) {
      const context = contextOf(handler);
      const { workspace } = context.principal;
      const thread = await visibleThread(shared, context.principal, threadId);
      const set = { status: threadWord(status), updatedAt: context.now(), ...(read === true && { unread: 0 }) };
      const changed = await shared.threads.of(workspace).update(thread.id, { set });
      if (changed === undefined) throw fail("THREAD_NOT_FOUND");
      await audit(shared.deps, { action: "threads.update", object: threadId }, handler);
      const tag = await shared.tags.of(workspace).get(thread.tagId);
      return { thread: toThread(changed, { tag, sealer: shared.sealer(workspace) }) };
    },
  };
}

/** Handlers of NotificationService. */
export function notificationHandlers(shared: Shared): ServiceImpl<typeof NotificationService> {
  return {
    async listNotifications({ page = 1, limit = 10, read }, handler) {
      const { workspace, test } = contextOf(handler).principal;
      const notices = shared.notices.of(workspace);
      const { docs, total } = await findPage(notices, { where: { test, read }, newest: "createdAt", page, limit });
      return { notifications: docs.map(toNotification), meta: pageMeta(total, { page, limit }) };
    },

    async updateNotification({ notificationId, read = true }, handler) {
      const { workspace, test } = contextOf(handler).principal;
      const notices = shared.notices.of(workspace);
      const changed = await notices.update(notificationId, { set: { read } }, { where: { test } });
      if (changed === undefined) throw fail("NOTIFICATION_NOT_FOUND", { notificationId });
      return { notification: toNotification(changed) };
    },
  };
}
