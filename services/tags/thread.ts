import type { RequestContext } from "#runtime/context.ts";
import { contentPlace, threadPlace } from "./messages.ts";
import type { MessageDoc, ThreadDoc } from "./model.ts";
import type { Shared } from "./store.ts";
import type { Sender } from "./words.ts";

const SHOWN = 1000;

/** The last messages of a thread, oldest first. */
export async function threadMessages(shared: Shared, workspace: string, threadId: string): Promise<MessageDoc[]> {
  const messages = shared.messages.of(workspace);
  const latest = await messages.find({ where: { threadId }, sort: [["createdAt", -1]], limit: SHOWN });
  return latest.reverse();
}

/** What is added to a thread. */
export interface NewMessage {
  context: RequestContext;
  workspace: string;
  thread: ThreadDoc;
  text: string;
  sender: Sender;
}

/** Adds a message to a thread, sealed. An answer of the owner marks what the finder wrote as read. */
export async function addMessage(
  shared: Shared,
  { context, workspace, thread, text, sender }: NewMessage,
): Promise<MessageDoc> {
  const id = context.newId("msg");
  const { seal } = shared.sealer(workspace);
  const content = seal(text, contentPlace(id));
  const message: MessageDoc = {
    id,
    threadId: thread.id,
    tagId: thread.tagId,
    sender,
    content,
    createdAt: context.now(),
  };
  await shared.messages.of(workspace).insert(message);
  const lastMessage = seal(text, threadPlace(thread.id, "lastMessage"));
  const seen = sender === "OWNER" ? { unread: 0 } : {};
  await shared.threads.of(workspace).update(thread.id, {
    set: { lastMessage, updatedAt: message.createdAt, ...seen },
    inc: sender === "FINDER" ? { unread: 1 } : {},
  });
  return message;
}
