import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NotificationService, NotificationType } from "#gen/waymark/tags/v1/notifications_pb.ts";
import { ScanService, ThreadStatus } from "#gen/waymark/tags/v1/scan_pb.ts";
import { TagService } from "#gen/waymark/tags/v1/tags_pb.ts";
import { ThreadService } from "#gen/waymark/tags/v1/threads_pb.ts";
import { openTagGround, refusal, type TagGround } from "../../test/support/tag-ground.ts";
import { tags } from "./service.ts";

let ground: TagGround;
beforeAll(async () => {
  ground = await openTagGround([tags]);
});
afterAll(() => ground.close());

const owner = () => ground.client(TagService);
const threads = () => ground.client(ThreadService);
const finder = () => ground.client(ScanService);
const _value = (json: JsonValue) => fromJson(ValueSchema, json);

async function make(given: object = {}, options = ground.key()) {
  const { tag } = await owner().createTag({ itemName: "House Keys", ownerName: "Jane", ...given }, options);
  if (tag === undefined) throw new Error("no tag");
  return tag;
}

async function contact(encryptedId: string, message = "I have it") {
  const { threadToken } = await finder().contactOwner({ encryptedId, message, finderName: "Alex" }, ground.anyone());
  return threadToken;
}

const notFound = { code: Code.NotFound };

describe("threads of the owner", () => {
  it("show who wrote what, and what is not read", async () => {
    const { id: tagId, encryptedId } = await make();
    const token = await contact(encryptedId, "First");
    await finder().replyToThread({ token, message: "Second" }, ground.anyone());
    const { threads: rows, meta } = await threads().listThreads({ tagId }, ground.key());
    expect(meta).toMatchObject({ total: 1, page: 1, totalPages: 1 });
    const row = { tagId, tagName: "House Keys", finderName: "Alex", lastMessage: "Second", unreadCount: 2 };
    expect(rows[0]).toMatchObject({ ...row, status: ThreadStatus.ACTIVE });

    const threadId = rows[0]?.id ?? "";
    await threads().sendMessage({ threadId, message: " Thanks " }, ground.key());
    const { thread } = await threads().getThread({ threadId }, ground.key());
    expect(thread).toMatchObject({ id: threadId, threadId, finderName: "Alex", unreadCount: 0 });
    expect(thread?.messages.map(({ content }) => content)).toEqual(["First", "Second", "Thanks"]);
    await finder().replyToThread({ token, message: "Third" }, ground.anyone());
    const { thread: read } = await threads().updateThread({ threadId, read: true }, ground.key());
    expect(read).toMatchObject({ unreadCount: 0, lastMessage: "Third" });
  });

  it.each(["CLOSED", "BLOCKED"] as const)(
    "that are %s can be read and not written, until they are opened",
    async (status) => {
      const { id: tagId, encryptedId } = await make();
      const token = await contact(encryptedId);
      const [row] = (await threads().listThreads({ tagId }, ground.key())).threads;
      const threadId = row?.id ?? "";
      await threads().updateThread({ threadId, status: ThreadStatus[status] }, ground.key());
      const { thread } = await finder().getFinderThread({ token }, ground.anyone());
      expect([thread?.status, thread?.messages.length]).toEqual([ThreadStatus[status], 1]);
      const forbidden = { code: Code.PermissionDenied, reason: "THREAD_ENDED" };
      expect(await refusal(finder().replyToThread({ token, message: "hi" }, ground.anyone()))).toMatchObject(forbidden);
      expect(await refusal(threads().sendMessage({ threadId, message: "hi" }, ground.key()))).toMatchObject(forbidden);
      const filtered = await threads().listThreads({ tagId, status: ThreadStatus[status] }, ground.key());
      expect(filtered.meta?.total).toBe(1);
      await threads().updateThread({ threadId, status: ThreadStatus.ACTIVE }, ground.key());
      await finder().replyToThread({ token, message: "hi" }, ground.anyone());
    },
  );

  it("are unknown to others and to test keys", async () => {
    const { id: tagId, encryptedId } = await make();
    await contact(encryptedId);
    const threadId = (await threads().listThreads({ tagId }, ground.key())).threads[0]?.id;
    for (const options of [ground.key("acme"), ground.key("default", { test: true })]) {
      for (const call of [
        threads().getThread({ threadId }, options),
        threads().sendMessage({ threadId, message: "hi" }, options),
        threads().updateThread({ threadId, status: ThreadStatus.CLOSED }, options),
      ]) {
        expect(await refusal(call)).toMatchObject(notFound);
      }
      expect((await threads().listThreads({ tagId }, options)).threads).toEqual([]);
    }
  });
});

describe("notices", () => {
  const notices = () => ground.client(NotificationService);

  it("come with every message and never hold its text, and can be read", async () => {
    const key = ground.key("notices");
    const { id: tagId, encryptedId } = await make({}, key);
    const token = await contact(encryptedId, "Very private words");
    await finder().replyToThread({ token, message: "More private words" }, ground.anyone());
    const { notifications, meta } = await notices().listNotifications({}, key);
    const threadId = (await threads().listThreads({ tagId }, key)).threads[0]?.id;
    expect(meta).toMatchObject({ total: 2, page: 1, totalPages: 1 });
    for (const notice of notifications) {
      expect(notice).toMatchObject({ type: NotificationType.MESSAGE_RECEIVED, read: false, data: { threadId } });
      expect(notice.title + notice.body).not.toMatch(/private|Alex/);
    }
    const notificationId = notifications[0]?.id;
    expect((await notices().updateNotification({ notificationId }, key)).notification?.read).toBe(true);
    expect((await notices().listNotifications({ read: false }, key)).meta?.total).toBe(1);
    const back = await notices().updateNotification({ notificationId, read: false }, key);
    expect(back.notification?.read).toBe(false);
    for (const other of [ground.key("acme"), ground.key("notices", { test: true })])
      expect(await refusal(notices().updateNotification({ notificationId }, other))).toMatchObject(notFound);
  });
});

describe("what is stored", () => {
  it("holds no message, finder's name or token in the clear", async () => {
    const { encryptedId } = await make();
    const message = "Rendezvous at the Zanzibar fountain";
    const call = { encryptedId, message, finderName: "Wilhelmina" };
    const { threadToken } = await finder().contactOwner(call, ground.anyone());
    await finder().replyToThread({ token: threadToken, message: "Ouagadougou then" }, ground.anyone());
    const bytes = ground.stored();
    expect(bytes.includes("House Keys")).toBe(true);
    for (const secret of ["Zanzibar", "Wilhelmina", "Ouagadougou", threadToken, threadToken.slice(8)])
      expect(bytes.includes(secret)).toBe(false);
  });
});
