import { Code } from "@connectrpc/connect";
import jsqr from "jsqr";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { TagDirectoryService } from "#gen/waymark/tags/v1/directory_pb.ts";
import { ScanService, Sender, ThreadStatus } from "#gen/waymark/tags/v1/scan_pb.ts";
import { TagService, TagStatus, TagType } from "#gen/waymark/tags/v1/tags_pb.ts";
import { ThreadService } from "#gen/waymark/tags/v1/threads_pb.ts";
import { openTagGround, refusal, type TagGround } from "../../test/support/tag-ground.ts";
import { tags } from "./service.ts";

let ground: TagGround;
beforeAll(async () => {
  ground = await openTagGround([tags]);
});
afterAll(() => ground.close());

/** The tag of the documented examples. */
const KEYS = {
  itemName: "House Keys",
  ownerName: "Jane",
  description: "Set of 3 keys on a blue lanyard",
  status: TagStatus.LOST,
  lostMessage: "Please help me find my keys!",
  reward: { amount: 25, currency: "USD", description: "Reward for safe return of my keys" },
  photos: [{ url: "https://cdn.qriotag.com/photos/pht_001.jpg", isPrimary: true }],
};

async function make(given: object = {}, options = ground.key()) {
  const { tag } = await ground.client(TagService).createTag({ ...KEYS, ...given }, options);
  if (tag === undefined) throw new Error("no tag");
  return tag;
}

const scanner = () => ground.client(ScanService);
const scan = async (encryptedId: string, from = {}) =>
  (await scanner().scanTag({ encryptedId }, ground.anyone(from))).profile;

describe("scanning a tag", () => {
  it("answers the documented example", async () => {
    const { encryptedId } = await make({ id: "tag_abc123" });
    const profile = await scan(encryptedId);
    expect(profile).toMatchObject({
      tagId: "tag_abc123",
      itemName: "House Keys",
      description: "Set of 3 keys on a blue lanyard",
      ownerName: "Jane",
      status: TagStatus.LOST,
      lostMessage: "Please help me find my keys!",
      reward: 25,
      tagType: TagType.GENERAL,
      photos: [{ url: "https://cdn.qriotag.com/photos/pht_001.jpg", isPrimary: true }],
      contactEnabled: true,
      emergencyAvailable: false,
    });
  });

  it("says the lost message only while the tag is lost", async () => {
    const { encryptedId } = await make({ status: TagStatus.ACTIVE });
    expect((await scan(encryptedId))?.lostMessage).toBeUndefined();
  });

  it.each(["DEACTIVATED", "EXPIRED"] as const)("shows no profile when %s, and records the touch", async (status) => {
    const { id, encryptedId } = await make();
    await ground.client(TagService).updateTag({ tagId: id, status: TagStatus[status] }, ground.key());
    const before = ground.told.touches.length;
    const profile = await scan(encryptedId);
    expect(profile).toMatchObject({ tagId: id, status: TagStatus[status], photos: [], contactEnabled: false });
    for (const field of ["itemName", "description", "ownerName", "lostMessage", "reward"] as const)
      expect(profile?.[field]).toBeUndefined();
    expect(ground.told.touches.length).toBe(before + 1);
  });

  it("shows no profile of a private tag or one that is not set up", async () => {
    for (const given of [{ isPrivate: true }, { status: TagStatus.PENDING_SETUP }]) {
      const profile = await scan((await make(given)).encryptedId);
      expect([profile?.itemName, profile?.ownerName, profile?.lostMessage, profile?.reward]).toEqual(
        Array(4).fill(undefined),
      );
      expect(profile?.photos).toEqual([]);
    }
  });

  it("finds a tag expired once its time is over", async () => {
    const expiresAt = { seconds: BigInt(Math.floor(ground.clock.now / 1000) + 60), nanos: 0 };
    const { encryptedId } = await make({ expiresAt });
    expect((await scan(encryptedId))?.status).toBe(TagStatus.LOST);
    ground.clock.now += 61_000;
    expect((await scan(encryptedId))?.status).toBe(TagStatus.EXPIRED);
  });

  it("does not know an id that was changed, another installation's, or a deleted tag's, and says the same of all", async () => {
    const { id, encryptedId } = await make();
    await ground.client(TagService).deleteTag({ tagId: id }, ground.key());
    const changed = (encryptedId.startsWith("A") ? "B" : "A") + encryptedId.slice(1);
    for (const unknown of [encryptedId, changed, "aGVsbG8td29ybGQ", "nonsense"]) {
      expect(await refusal(scan(unknown))).toMatchObject({
        code: Code.NotFound,
        reason: "TAG_NOT_FOUND",
        message: `Tag with id '${unknown.slice(0, 64)}' not found`,
      });
    }
  });
});

describe("the touch of a scan", () => {
  it("is recorded in the tag's workspace, with address and user agent, before the answer", async () => {
    const { id, encryptedId } = await make({}, ground.key("acme"));
    await scan(encryptedId, { ip: "203.0.113.7", userAgent: "Mozilla/5.0", method: "GET" });
    expect(ground.told.touches.at(-1)).toMatchObject({
      workspace: "acme",
      purpose: Purpose.LOST_AND_FOUND,
      codeId: id,
      ip: "203.0.113.7",
      userAgent: "Mozilla/5.0",
      method: "GET",
      test: false,
    });
  });

  it("is medical for a medical tag, and for one with emergency information", async () => {
    await scan((await make({ tagType: TagType.MEDICAL })).encryptedId);
    expect(ground.told.touches.at(-1)?.purpose).toBe(Purpose.MEDICAL);
    const { id, encryptedId } = await make();
    await ground.client(TagDirectoryService).setEmergencyAvailable({ tagId: id, available: true }, ground.key());
    expect((await scan(encryptedId))?.emergencyAvailable).toBe(true);
    expect(ground.told.touches.at(-1)?.purpose).toBe(Purpose.MEDICAL);
  });

  it("is test data when the tag is", async () => {
    const { encryptedId } = await make({}, ground.key("default", { test: true }));
    await scan(encryptedId);
    expect(ground.told.touches.at(-1)?.test).toBe(true);
  });

  it.each(["refuses", "hangs"] as const)("does not hold up the answer when intake %s", async (mode) => {
    const { id, encryptedId } = await make();
    ground.intake.mode = mode;
    const begun = performance.now();
    const profile = await scan(encryptedId);
    ground.intake.mode = "records";
    expect(profile?.tagId).toBe(id);
    expect(performance.now() - begun).toBeLessThan(1500);
  });
});

describe("the printed code", () => {
  it.each([undefined, 256, 1024])("as a PNG of %s pixels says the scan URL", async (size) => {
    const { encryptedId, scanUrl } = await make();
    expect(scanUrl).toBe(`https://tags.example/scan/${encryptedId}`);
    const { picture } = await scanner().drawTag({ encryptedId, size }, ground.anyone());
    const { width, height, data } = PNG.sync.read(Buffer.from(picture?.data ?? []));
    expect([picture?.contentType, width, height]).toEqual(["image/png", size ?? 512, size ?? 512]);
    expect(jsqr.default(new Uint8ClampedArray(data), width, height)?.data).toBe(scanUrl);
  });

  it("can be an SVG, and records nothing", async () => {
    const { encryptedId } = await make();
    const before = ground.told.touches.length;
    const { picture } = await scanner().drawTag({ encryptedId, format: "svg" }, ground.anyone());
    expect(picture?.contentType).toBe("image/svg+xml");
    expect(Buffer.from(picture?.data ?? []).toString()).toMatch(/^<svg .*<\/svg>\n$/s);
    expect(ground.told.touches.length).toBe(before);
  });
});

describe("the conversation of the documented examples", () => {
  it("goes from contact over the owner's answer to the finder's reply", async () => {
    const { id, encryptedId } = await make();
    const found = "I found your keys at the coffee shop on Main Street.";
    const contact = await scanner().contactOwner({ encryptedId, finderName: "Alex", message: found }, ground.anyone());
    expect(contact.threadToken).toMatch(/^thr_tok_[A-Za-z0-9_-]{32}$/);
    expect(contact.message).toBe("Message sent to the tag owner. Use the thread token to check for replies.");
    const token = contact.threadToken;

    const { threads } = await ground.client(ThreadService).listThreads({ tagId: id }, ground.key());
    const threadId = threads[0]?.id ?? "";
    const answer = { threadId, message: "Thank you so much! Can we meet there at 5pm?" };
    await ground.client(ThreadService).sendMessage(answer, ground.key());
    const reply = { token, message: "Yes, 5pm works! I will be wearing a red jacket." };
    const { message } = await scanner().replyToThread(reply, ground.anyone());
    expect(message).toMatchObject({ sender: Sender.FINDER, content: reply.message });

    const { thread } = await scanner().getFinderThread({ token }, ground.anyone());
    expect(thread).toMatchObject({ threadId, tagName: "House Keys", status: ThreadStatus.ACTIVE });
    expect(thread?.messages.map(({ sender, content }) => [sender, content])).toEqual([
      [Sender.FINDER, found],
      [Sender.OWNER, answer.message],
      [Sender.FINDER, reply.message],
    ]);
    expect(thread?.messages.at(-1)?.id).toBe(message?.id);
    const reward = await scanner().getThreadReward({ token }, ground.anyone());
    expect(reward).toMatchObject({ offered: true, amount: 25, currency: "USD", description: KEYS.reward.description });
  });

  it("offers no reward where there is none, or the tag is private", async () => {
    for (const given of [{ reward: undefined }, { isPrivate: true }]) {
      const { encryptedId } = await make(given);
      const { threadToken: token } = await scanner().contactOwner({ encryptedId, message: "hi" }, ground.anyone());
      const reward = await scanner().getThreadReward({ token }, ground.anyone());
      expect(reward).toMatchObject({ offered: false });
      expect([reward.amount, reward.currency, reward.description]).toEqual([undefined, undefined, undefined]);
      const { thread } = await scanner().getFinderThread({ token }, ground.anyone());
      expect(thread?.tagName).toBe("isPrivate" in given ? undefined : "House Keys");
    }
  });

  it("does not know another token", async () => {
    for (const token of ["thr_tok_abc123def456", "", "thr_tok_"]) {
      for (const call of [
        scanner().getFinderThread({ token }, ground.anyone()),
        scanner().replyToThread({ token, message: "hi" }, ground.anyone()),
        scanner().getThreadReward({ token }, ground.anyone()),
      ]) {
        expect(await refusal(call)).toMatchObject({ code: Code.NotFound, reason: "THREAD_NOT_FOUND", facts: {} });
      }
    }
  });
});

describe("writing to an owner", () => {
  const write = (encryptedId: string, message = "hi", finderName?: string) =>
    scanner().contactOwner({ encryptedId, message, finderName }, ground.anyone());

  it.each([
    ["nothing", ""],
    ["white space", " \n "],
    ["2,001 characters", "x".repeat(2001)],
  ])("refuses %s and names the field", async (_case, message) => {
    const { encryptedId } = await make();
    expect(await refusal(write(encryptedId, message))).toMatchObject({
      code: Code.InvalidArgument,
      facts: { field: "message" },
    });
  });

  it("refuses a name of 81 characters", async () => {
    const { encryptedId } = await make();
    expect(await refusal(write(encryptedId, "hi", "x".repeat(81)))).toMatchObject({ code: Code.InvalidArgument });
  });

  it("is forbidden when the owner takes no messages", async () => {
    const { encryptedId } = await make({ contactEnabled: false });
    expect((await scan(encryptedId))?.contactEnabled).toBe(false);
    expect(await refusal(write(encryptedId))).toMatchObject({
      code: Code.PermissionDenied,
      reason: "CONTACT_DISABLED",
    });
  });

  it("is forbidden when the tag passes nothing on, in a thread that is open too", async () => {
    const { id, encryptedId } = await make();
    const { threadToken: token } = await write(encryptedId);
    await ground.client(TagService).updateTag({ tagId: id, status: TagStatus.EXPIRED }, ground.key());
    const forbidden = { code: Code.PermissionDenied, reason: "RELAY_ENDED" };
    expect(await refusal(write(encryptedId))).toMatchObject(forbidden);
    expect(await refusal(scanner().replyToThread({ token, message: "hi" }, ground.anyone()))).toMatchObject(forbidden);
    const { thread } = await scanner().getFinderThread({ token }, ground.anyone());
    expect(thread?.messages).toHaveLength(1);
  });

  it("works 20 times an hour for one tag, and says when again", async () => {
    const { encryptedId } = await make();
    for (let n = 0; n < 20; n++) await write(encryptedId);
    const limited = await refusal(write(encryptedId));
    expect(limited).toMatchObject({ code: Code.ResourceExhausted, reason: "CONTACT_LIMIT" });
    expect(Number(limited.facts?.seconds)).toBeGreaterThan(3590);
    await write((await make()).encryptedId);
    ground.clock.now += Number(limited.facts?.seconds) * 1000;
    await write(encryptedId);
  });

  it("works 60 times an hour in one thread", async () => {
    const { encryptedId } = await make();
    const { threadToken: token } = await write(encryptedId);
    const reply = () => scanner().replyToThread({ token, message: "hi" }, ground.anyone());
    for (let n = 1; n < 60; n++) await reply();
    expect(await refusal(reply())).toMatchObject({ code: Code.ResourceExhausted });
  });
});
