import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { timestampFromMs, ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TagDirectoryService } from "#gen/waymark/tags/v1/directory_pb.ts";
import { ScanService } from "#gen/waymark/tags/v1/scan_pb.ts";
import { TagService, TagStatus, TagType } from "#gen/waymark/tags/v1/tags_pb.ts";
import { ThreadService } from "#gen/waymark/tags/v1/threads_pb.ts";
import { openTagGround, refusal, type TagGround } from "../../test/support/tag-ground.ts";
import { tagModel, tokenModel } from "./model.ts";
import { tags } from "./service.ts";

let ground: TagGround;
beforeAll(async () => {
  ground = await openTagGround([tags]);
});
afterAll(() => ground.close());

const owner = () => ground.client(TagService);
const threads = () => ground.client(ThreadService);
const finder = () => ground.client(ScanService);
const value = (json: JsonValue) => fromJson(ValueSchema, json);

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

describe("a tag", () => {
  it("is made with little, and shows all of it", async () => {
    const tag = await make({ itemName: "  House Keys " });
    expect(tag).toMatchObject({
      itemName: "House Keys",
      tagType: TagType.GENERAL,
      status: TagStatus.ACTIVE,
      photos: [],
      contactEnabled: true,
      isPrivate: false,
      emergencyAvailable: false,
      scanUrl: `https://tags.example/scan/${tag.encryptedId}`,
      qrImageUrl: `https://tags.example/api/v1/scan/${tag.encryptedId}/qr`,
    });
    expect(tag.id).toMatch(/^tag_/);
    expect([tag.description, tag.lostMessage, tag.reward, tag.expiresAt]).toEqual(Array(4).fill(undefined));
    expect((await owner().getTag({ tagId: tag.id }, ground.key())).tag).toEqual(tag);
    expect(ground.told.audit.at(-1)).toMatchObject({ action: "tags.create", object: tag.id, actor: "Owner" });
  });

  it("takes a wanted id once", async () => {
    await make({ id: "wanted:1" });
    expect(await refusal(make({ id: "wanted:1" }))).toMatchObject({ code: Code.AlreadyExists, reason: "TAG_EXISTS" });
    expect(await refusal(make({ id: "no spaces" }))).toMatchObject({
      code: Code.InvalidArgument,
      facts: { field: "id" },
    });
    expect((await make({ id: "wanted:1" }, ground.key("acme"))).id).toBe("wanted:1");
  });

  it.each([
    ["item_name", { itemName: "" }],
    ["item_name", { itemName: "  " }],
    ["item_name", { itemName: "x".repeat(121) }],
    ["owner_name", { ownerName: "" }],
    ["status", { status: TagStatus.STOLEN }],
    ["status", { status: 99 }],
    ["tag_type", { tagType: 99 }],
    ["reward.amount", { reward: { amount: -1, currency: "USD" } }],
    ["reward.currency", { reward: { amount: 1, currency: "dollars" } }],
    ["photos[0].url", { photos: [{ url: "javascript:alert(1)" }] }],
    ["lost_message", { lostMessage: "x".repeat(501) }],
  ])("is refused with a bad %s", async (field, given) => {
    expect(await refusal(make(given))).toMatchObject({ code: Code.InvalidArgument, facts: { field } });
  });

  it("is unknown to others, to test keys, and when it does not exist", async () => {
    const { id: tagId } = await make();
    for (const options of [ground.key("acme"), ground.key("default", { test: true })]) {
      for (const call of [
        owner().getTag({ tagId }, options),
        owner().updateTag({ tagId, itemName: "Mine" }, options),
        owner().deleteTag({ tagId }, options),
        owner().listTagScans({ tagId }, options),
        ground.client(TagDirectoryService).findTag({ tagId }, options),
        ground.client(TagDirectoryService).setEmergencyAvailable({ tagId, available: true }, options),
      ]) {
        expect(await refusal(call)).toMatchObject({ ...notFound, message: `Tag with id '${tagId}' not found` });
      }
    }
    expect(await refusal(owner().getTag({ tagId: "tag_uuid_123" }, ground.key()))).toMatchObject({
      message: "Tag with id 'tag_uuid_123' not found",
    });
  });

  it("is resolved for other services, whoever asks", async () => {
    const { id, encryptedId } = await make({}, ground.key("acme", { test: true }));
    const place = await ground.client(TagDirectoryService).resolveEncryptedId({ encryptedId }, ground.anyone());
    expect(place).toMatchObject({ workspaceId: "acme", tagId: id, status: TagStatus.ACTIVE, test: true });
  });
});

describe("changing a tag", () => {
  it("changes what is given and keeps the rest", async () => {
    const tag = await make({ description: "Blue", reward: { amount: 5, currency: "EUR" } });
    const patch = { tagId: tag.id, itemName: "Office Keys", status: TagStatus.LOST, lostMessage: value("Help!") };
    const { tag: changed } = await owner().updateTag(patch, ground.key());
    expect(changed).toMatchObject({ itemName: "Office Keys", description: "Blue", lostMessage: "Help!" });
    expect(changed).toMatchObject({ status: TagStatus.LOST, reward: { amount: 5, currency: "EUR" } });
    expect(changed?.encryptedId).toBe(tag.encryptedId);
  });

  it("clears what is null", async () => {
    const filled = { description: "Blue", lostMessage: "Help", reward: { amount: 5, currency: "EUR" } };
    const photos = [{ url: "https://a.example/1.jpg", isPrimary: true }];
    const { id: tagId } = await make({ ...filled, photos, expiresAt: timestampFromMs(4e12) });
    const nothing = { description: value(null), lostMessage: value(null), reward: value(null) };
    const patch = { tagId, ...nothing, photos: value([]), expiresAt: value(null) };
    const { tag } = await owner().updateTag(patch, ground.key());
    expect([tag?.description, tag?.lostMessage, tag?.reward, tag?.expiresAt]).toEqual(Array(4).fill(undefined));
    expect(tag?.photos).toEqual([]);
  });

  it("takes whole rewards and pictures", async () => {
    const { id: tagId } = await make();
    const reward = value({ amount: 12.5, currency: "chf", unknown: 1 });
    const photos = value([{ url: "https://a.example/1.jpg", isPrimary: true }]);
    const { tag } = await owner().updateTag({ tagId, reward, photos }, ground.key());
    expect(tag?.reward).toMatchObject({ amount: 12.5, currency: "CHF" });
    expect(tag?.photos).toMatchObject([{ url: "https://a.example/1.jpg", isPrimary: true }]);
  });

  it.each([
    ["description", { description: value(5) }],
    ["description", { description: value("x".repeat(1001)) }],
    ["reward", { reward: value("25") }],
    ["reward", { reward: value({ amount: "much" }) }],
    ["reward.amount", { reward: value({ amount: 0.001, currency: "USD" }) }],
    ["photos", { photos: value("https://a.example") }],
    ["photos", { photos: value(["https://a.example"]) }],
    ["photos[0].url", { photos: value([{ url: "file:///etc/passwd" }]) }],
    ["expires_at", { expiresAt: value("tomorrow") }],
    ["expires_at", { expiresAt: value(1e12) }],
    ["item_name", { itemName: " " }],
    ["status", { status: TagStatus.FOUND }],
  ])("refuses a bad %s", async (field, patch) => {
    const { id: tagId } = await make();
    const refused = await refusal(owner().updateTag({ tagId, ...patch }, ground.key()));
    expect(refused).toMatchObject({ code: Code.InvalidArgument, facts: { field } });
    expect(refused.message).toContain(field);
  });

  it("loses none of two changes at the same moment", async () => {
    const { id: tagId } = await make();
    await Promise.all([
      owner().updateTag({ tagId, itemName: "One" }, ground.key()),
      owner().updateTag({ tagId, ownerName: "Two" }, ground.key()),
    ]);
    expect((await owner().getTag({ tagId }, ground.key())).tag).toMatchObject({ itemName: "One", ownerName: "Two" });
  });

  it("revives an expired tag for good, or until its new end", async () => {
    const { id: tagId } = await make({ expiresAt: timestampFromMs(ground.clock.now - 1000) });
    const status = TagStatus.ACTIVE;
    expect((await owner().getTag({ tagId }, ground.key())).tag?.status).toBe(TagStatus.EXPIRED);
    expect(await refusal(owner().updateTag({ tagId, status: TagStatus.LOST }, ground.key()))).toMatchObject({
      facts: { field: "status", from: "EXPIRED" },
    });
    const { tag } = await owner().updateTag({ tagId, status }, ground.key());
    expect([tag?.status, tag?.expiresAt]).toEqual([status, undefined]);
    const expiresAt = value("2999-01-01");
    const { tag: later } = await owner().updateTag({ tagId, status, expiresAt }, ground.key());
    expect(later?.expiresAt).toEqual(timestampFromMs(Date.parse("2999-01-01")));
  });
});

describe("the list of tags", () => {
  it("is paged, newest first, and filtered by where tags stand now", async () => {
    const key = ground.key("list");
    const expiresAt = timestampFromMs(ground.clock.now + 60_000);
    for (let n = 0; n < 12; n++) await make({ id: `t${n}`, ...(n < 3 && { expiresAt }) }, key);
    await make({ id: "test" }, ground.key("list", { test: true }));
    const first = await owner().listTags({}, key);
    expect(first.tags.map(({ id }) => id)).toEqual(["t11", "t10", "t9", "t8", "t7", "t6", "t5", "t4", "t3", "t2"]);
    expect(first.meta).toMatchObject({ total: 12, page: 1, totalPages: 2 });
    const second = await owner().listTags({ page: 2 }, key);
    expect(second.tags.map(({ id }) => id)).toEqual(["t1", "t0"]);

    ground.clock.now += 61_000;
    const expired = await owner().listTags({ status: TagStatus.EXPIRED, limit: 2 }, key);
    expect(expired.meta).toMatchObject({ total: 3, totalPages: 2 });
    expect((await owner().listTags({ status: TagStatus.ACTIVE }, key)).meta?.total).toBe(9);
    for (const bad of [{ limit: 101 }, { limit: 0 }, { page: 0 }])
      expect(await refusal(owner().listTags(bad, key))).toMatchObject({ code: Code.InvalidArgument });
  });
});

describe("deleting a tag", () => {
  it("removes everything that hangs on it, and frees its id", async () => {
    const { id: tagId, encryptedId } = await make({ id: "gone", status: TagStatus.LOST });
    const token = await contact(encryptedId);
    await finder().scanTag({ encryptedId }, ground.anyone());
    await ground.project();
    expect((await owner().listTagScans({ tagId }, ground.key())).meta?.total).toBe(1);
    const { threads: open } = await threads().listThreads({ tagId }, ground.key());

    await owner().deleteTag({ tagId }, ground.key());
    expect(ground.told.audit.at(-1)).toMatchObject({ action: "tags.delete", object: "gone" });
    expect(await refusal(owner().deleteTag({ tagId }, ground.key()))).toMatchObject(notFound);
    expect(await refusal(finder().getFinderThread({ token }, ground.anyone()))).toMatchObject(notFound);
    expect(await refusal(threads().getThread({ threadId: open[0]?.id }, ground.key()))).toMatchObject(notFound);
    expect((await threads().listThreads({ tagId }, ground.key())).meta?.total).toBe(0);
    expect(await ground.store.collection(tokenModel).of("_").count()).toBe(0);

    expect((await make({ id: "gone" })).encryptedId).toBe(encryptedId);
    expect((await owner().listTagScans({ tagId }, ground.key())).meta?.total).toBe(0);
  });

  it("that was cut short is done for everyone, and can be finished", async () => {
    const { id: tagId, encryptedId } = await make({ id: "half" });
    await ground.store
      .collection(tagModel)
      .of("default")
      .update(tagId, { set: { deletedAt: ground.clock.now } });
    expect(await refusal(owner().getTag({ tagId }, ground.key()))).toMatchObject(notFound);
    expect(await refusal(finder().scanTag({ encryptedId }, ground.anyone()))).toMatchObject(notFound);
    await owner().deleteTag({ tagId }, ground.key());
    await make({ id: "half" });
    await ground.store
      .collection(tagModel)
      .of("default")
      .update(tagId, { set: { deletedAt: ground.clock.now } });
    expect((await make({ id: "half", itemName: "New" })).itemName).toBe("New");
  });
});
