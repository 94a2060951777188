import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { HOUSE_KEYS, MILLIS, makeTag } from "./house-keys.ts";

let waymark: Waymark;
let key: string;
let tag: { id: string; encryptedId: string };
const finder = (method: string, path: string, body?: unknown) => waymark.call(method, `/api/v1/scan/${path}`, { body });
const owner = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });

const FOUND = "I found your keys at the coffee shop on Main Street. Happy to arrange a return!";

beforeAll(async () => {
  waymark = await startWaymark();
  key = (await waymark.workspace("Jane")).key;
  tag = await makeTag(waymark, key, HOUSE_KEYS);
});
afterAll(() => waymark?.stop());

/** A thread of its own, with the tag it is about. */
async function openThread(about: Record<string, unknown> = {}) {
  const own = await makeTag(waymark, key, { ...HOUSE_KEYS, id: undefined, ...about });
  const { body } = await finder("POST", `${own.encryptedId}/contact`, { finderName: "Alex", message: FOUND });
  const list = await owner("GET", `/api/v1/threads?tagId=${own.id}`);
  return { tag: own, token: body.data.threadToken as string, id: list.body.data[0].id as string };
}

describe("the documented conversation", () => {
  let token: string;
  let threadId: string;

  it("begins with a message to the owner", async () => {
    const { status, body } = await finder("POST", `${tag.encryptedId}/contact`, { finderName: "Alex", message: FOUND });
    expect([status, body]).toStrictEqual([
      201,
      {
        success: true,
        data: {
          threadToken: expect.stringMatching(/^thr_tok_[A-Za-z0-9_-]{22,}$/),
          message: "Message sent to the tag owner. Use the thread token to check for replies.",
        },
      },
    ]);
    token = body.data.threadToken;
  });

  it("is shown to the owner, unread, with a notice that does not hold the text", async () => {
    const { body } = await owner("GET", "/api/v1/threads?status=ACTIVE");
    expect(body.meta).toEqual({ total: 1, page: 1, totalPages: 1 });
    threadId = body.data[0].id;
    expect(body.data[0]).toStrictEqual({
      id: expect.stringMatching(/^thr_/),
      tagId: "tag_abc123",
      tagName: "House Keys",
      finderName: "Alex",
      lastMessage: FOUND,
      unreadCount: 1,
      status: "ACTIVE",
      createdAt: expect.stringMatching(MILLIS),
      updatedAt: expect.stringMatching(MILLIS),
    });
    const notices = await owner("GET", "/api/v1/notifications");
    expect(notices.body.data[0]).toMatchObject({ type: "MESSAGE_RECEIVED", data: { threadId } });
    expect(notices.text).not.toContain("coffee");
  });

  it("goes on with the owner's answer", async () => {
    const { status, body } = await owner("POST", `/api/v1/threads/${threadId}/messages`, {
      message: "Thank you so much! Can we meet there at 5pm?",
    });
    expect([status, body.data.sender]).toEqual([201, "OWNER"]);
    expect((await owner("GET", "/api/v1/threads")).body.data[0].unreadCount).toBe(0);
  });

  it("is shown to the finder in the documented shape", async () => {
    const { status, body } = await finder("GET", `thread/${token}`);
    const message = (sender: string, content: string) => ({
      id: expect.stringMatching(/^msg_/),
      sender,
      content,
      createdAt: expect.stringMatching(MILLIS),
    });
    expect([status, body]).toStrictEqual([
      200,
      {
        success: true,
        data: {
          threadId,
          tagName: "House Keys",
          status: "ACTIVE",
          messages: [message("FINDER", FOUND), message("OWNER", "Thank you so much! Can we meet there at 5pm?")],
        },
      },
    ]);
  });

  it("takes the finder's reply", async () => {
    const content = "Yes, 5pm works! I will be wearing a red jacket.";
    const { status, body } = await finder("POST", `thread/${token}/reply`, { message: content });
    expect([status, body]).toStrictEqual([
      201,
      {
        success: true,
        data: {
          id: expect.stringMatching(/^msg_/),
          sender: "FINDER",
          content,
          createdAt: expect.stringMatching(MILLIS),
        },
      },
    ]);
    const detail = await owner("GET", `/api/v1/threads/${threadId}`);
    expect(detail.body.data).toMatchObject({ threadId, unreadCount: 1, finderName: "Alex" });
    expect(detail.body.data.messages).toHaveLength(3);
  });

  it("tells of the documented reward", async () => {
    const { body } = await finder("GET", `thread/${token}/reward`);
    expect(body).toStrictEqual({
      success: true,
      data: { offered: true, amount: 25.0, currency: "USD", description: "Reward for safe return of my keys" },
    });
  });

  it("leaves neither a word nor the token in the data folder, nor the token in what the owner sees", async () => {
    const files = readdirSync(waymark.data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const bytes = Buffer.concat(files.map((file) => readFileSync(join(file.parentPath, file.name))));
    expect(bytes.includes("House Keys")).toBe(true);
    for (const secret of [token, token.replace("thr_tok_", ""), "coffee shop", "red jacket", "Alex"])
      expect([secret, bytes.includes(secret)]).toEqual([secret, false]);
    expect((await owner("GET", `/api/v1/threads/${threadId}`)).text).not.toContain(token);
  });
});

it("tells that there is no reward, with nulls", async () => {
  for (const about of [{ reward: undefined }, { isPrivate: true }]) {
    const { token } = await openThread(about);
    const { body } = await finder("GET", `thread/${token}/reward`);
    expect(body.data).toStrictEqual({ offered: false, amount: null, currency: null, description: null });
  }
});

it("calls a finder without a name Finder", async () => {
  const own = await makeTag(waymark, key, {});
  await finder("POST", `${own.encryptedId}/contact`, { message: "Hello" });
  expect((await owner("GET", `/api/v1/threads?tagId=${own.id}`)).body.data[0].finderName).toBe("Finder");
});

describe("a message", () => {
  it("has 1 to 2,000 characters, whatever they are", async () => {
    const own = await makeTag(waymark, key, {});
    const write = (message: unknown) => finder("POST", `${own.encryptedId}/contact`, { message });
    expect((await write("🔑".repeat(2_000))).status).toBe(201);
    for (const wrong of ["", "   ", "x".repeat(2_001), undefined, null, 7, ["hi"]]) {
      const { status, body } = await write(wrong);
      expect([wrong, status, body.error.code]).toEqual([wrong, 400, "VALIDATION_ERROR"]);
      expect(Object.keys(body.error.details)).toEqual(["message"]);
    }
    expect((await owner("GET", `/api/v1/threads?tagId=${own.id}`)).body.meta.total).toBe(1);
  });

  it("comes back as it was sent", async () => {
    const { token } = await openThread();
    const content = '<script>alert("x")</script> & "quotes"\n\tzwölf 👩‍🔧';
    await finder("POST", `thread/${token}/reply`, { message: content });
    expect((await finder("GET", `thread/${token}`)).body.data.messages.at(-1).content).toBe(content);
  });
});

describe("writing to the owner is refused", () => {
  it("with 403 when contact is disabled", async () => {
    const own = await makeTag(waymark, key, { contactEnabled: false });
    expect((await finder("GET", own.encryptedId)).body.data.contactEnabled).toBe(false);
    const { status, body } = await finder("POST", `${own.encryptedId}/contact`, { message: "Hello" });
    expect([status, body.error.code]).toEqual([403, "FORBIDDEN"]);
  });

  it.each(["DEACTIVATED", "EXPIRED"])("with 403 when the tag is %s", async (status) => {
    const { tag: own, token } = await openThread();
    await owner("PATCH", `/api/v1/tags/${own.id}`, { status });
    expect((await finder("POST", `${own.encryptedId}/contact`, { message: "Hello" })).status).toBe(403);
    expect((await finder("POST", `thread/${token}/reply`, { message: "Hello" })).status).toBe(403);
    expect((await finder("GET", `thread/${token}`)).status).toBe(200);
  });

  it.each(["CLOSED", "BLOCKED"])("with 403 in a thread that is %s, which can still be read", async (status) => {
    const { token, id } = await openThread();
    const changed = await owner("PATCH", `/api/v1/threads/${id}`, { status });
    expect([changed.status, changed.body.data.status]).toEqual([200, status]);
    const reply = await finder("POST", `thread/${token}/reply`, { message: "Hello?" });
    expect([reply.status, reply.body.error.code]).toEqual([403, "FORBIDDEN"]);
    expect((await owner("POST", `/api/v1/threads/${id}/messages`, { message: "x" })).status).toBe(403);
    expect((await finder("GET", `thread/${token}`)).body.data).toMatchObject({ status, threadId: id });
    await owner("PATCH", `/api/v1/threads/${id}`, { status: "ACTIVE" });
    expect((await finder("POST", `thread/${token}/reply`, { message: "Hello!" })).status).toBe(201);
  });

  it("with 404 for a token that nobody has", async () => {
    for (const [method, path, body] of [
      ["GET", "thread/thr_tok_nobody"],
      ["POST", "thread/thr_tok_nobody/reply", { message: "x" }],
      ["GET", "thread/thr_tok_nobody/reward"],
    ] as const) {
      const answer = await finder(method, path, body);
      expect([answer.status, answer.body.error.code]).toEqual([404, "NOT_FOUND"]);
    }
  });
});

it("a thread of a neighbour is unknown", async () => {
  const { id } = await openThread();
  const neighbour = await waymark.workspace("Neighbour");
  for (const [method, path, body] of [
    ["GET", `/api/v1/threads/${id}`],
    ["POST", `/api/v1/threads/${id}/messages`, { message: "x" }],
    ["PATCH", `/api/v1/threads/${id}`, { status: "CLOSED" }],
  ] as const)
    expect((await waymark.call(method, path, { key: neighbour.key, body })).status).toBe(404);
});

it("a thread ends with its tag", async () => {
  const { tag: own, token, id } = await openThread();
  await owner("DELETE", `/api/v1/tags/${own.id}`);
  expect((await finder("GET", `thread/${token}`)).status).toBe(404);
  expect((await owner("GET", `/api/v1/threads/${id}`)).status).toBe(404);
});
