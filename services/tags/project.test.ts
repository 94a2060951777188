import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import { NotificationService, NotificationType } from "#gen/waymark/tags/v1/notifications_pb.ts";
import { TagService, TagStatus } from "#gen/waymark/tags/v1/tags_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import type { Store } from "#runtime/store.ts";
import { openTagGround, record, type TagGround } from "../../test/support/tag-ground.ts";
import { noticeModel, scanModel } from "./model.ts";
import { tagsProjection } from "./project.ts";
import { tags } from "./service.ts";

let ground: TagGround;
beforeEach(async () => {
  ground = await openTagGround([tags]);
});
afterEach(() => ground.close());

type Input = MessageInitShape<typeof TouchInputSchema>;

async function make(status: TagStatus, id: string) {
  await ground.client(TagService).createTag({ id, itemName: "House Keys", ownerName: "Jane", status }, ground.key());
}

function touch(ids: string[], { at = ground.clock.now++, ...input }: Input & { at?: number }) {
  const touches = ids.map(() => ({ purpose: Purpose.LOST_AND_FOUND, ...input }));
  return record(ground.log, { touches, ids, workspace: "default", test: false, at });
}

const scansOf = async (tagId: string) => ground.client(TagService).listTagScans({ tagId, limit: 100 }, ground.key());
const notices = async () => ground.client(NotificationService).listNotifications({ limit: 100 }, ground.key());

/** All that the projection has made, as it is stored. */
async function made() {
  const scans = await ground.store.collection(scanModel).of("default").find({});
  const notes = await ground.store.collection(noticeModel).of("default").find({});
  return { scans, notes };
}

async function entries(): Promise<LogEntry[]> {
  const all: LogEntry[] = [];
  for await (const chunk of ground.log.read({ after: 0, subjects: tagsProjection.subjects })) all.push(...chunk);
  return all;
}

describe("the projection of tags", () => {
  it("shows when and roughly where people scanned, newest first", async () => {
    await make(TagStatus.ACTIVE, "tag_1");
    await touch(["a"], { codeId: "tag_1", at: 1000 });
    await touch(["b"], { codeId: "tag_1", at: 3000, place: { country: "DE" } });
    await touch(["c"], { codeId: "tag_1", at: 2000, purpose: Purpose.MEDICAL });
    await ground.project();
    const { scans, meta } = await scansOf("tag_1");
    expect(scans.map(({ id }) => id)).toEqual(["b", "c", "a"]);
    expect(scans[0]).toMatchObject({ country: "DE", scannedAt: { seconds: 3n } });
    expect([scans[0]?.region, scans[0]?.city]).toEqual([undefined, undefined]);
    expect(scans[2]).toMatchObject({ country: "US", region: "OR", city: "Portland" });
    expect(meta).toMatchObject({ total: 3, page: 1, totalPages: 1 });
  });

  it("ignores programs, other purposes, and codes that are no tags or are deleted", async () => {
    await make(TagStatus.LOST, "tag_1");
    await make(TagStatus.LOST, "tag_2");
    await ground.client(TagService).deleteTag({ tagId: "tag_2" }, ground.key());
    await touch(["a"], { codeId: "tag_1", method: "HEAD" });
    await touch(["b"], { codeId: "tag_1", purpose: Purpose.MARKETING });
    await touch(["c"], { codeId: "qpr_1" });
    await touch(["d"], { codeId: "tag_2" });
    await ground.project();
    expect(await made()).toEqual({ scans: [], notes: [] });
  });

  it.each([
    ["LOST", "Your lost tag was scanned"],
    ["STOLEN", "Your stolen tag was scanned"],
  ] as const)("tells the owner of a %s tag", async (status, title) => {
    await make(TagStatus.ACTIVE, "tag_1");
    await touch(["before"], { codeId: "tag_1" });
    await ground.client(TagService).updateTag({ tagId: "tag_1", status: TagStatus[status] }, ground.key());
    await touch(["after"], { codeId: "tag_1" });
    await touch(["nowhere"], { codeId: "tag_1", place: {} });
    await ground.project();
    const { notifications } = await notices();
    expect(notifications).toMatchObject([
      { id: "ntf_nowhere", body: '"House Keys" was scanned; the place is unknown.' },
      { id: "ntf_after", body: '"House Keys" was scanned near Portland, US.', title, data: { tagId: "tag_1" } },
    ]);
    expect(notifications[1]).toMatchObject({ type: NotificationType.TAG_SCANNED, read: false });
  });

  it("counts a touch once, whenever its id comes again", async () => {
    await make(TagStatus.LOST, "tag_1");
    await touch(["a", "a", "b"], { codeId: "tag_1" });
    await touch(["a"], { codeId: "tag_1", at: 5 });
    await ground.project();
    await touch(["b"], { codeId: "tag_1", at: 5 });
    await ground.project();
    expect((await scansOf("tag_1")).meta?.total).toBe(2);
    expect((await notices()).meta?.total).toBe(2);
  });

  it("makes the same of the log in any chunks, and again", async () => {
    await make(TagStatus.LOST, "tag_1");
    await make(TagStatus.ACTIVE, "tag_2");
    for (let n = 0; n < 20; n++) await touch([`t${n % 15}`, `u${n}`], { codeId: `tag_${1 + (n % 2)}` });
    await ground.project();
    const whole = await made();
    expect(whole.scans).toHaveLength(35);
    for (const entry of await entries())
      await tagsProjection.project([entry], { store: ground.store, now: () => ground.clock.now });
    expect(await made()).toEqual(whole);
  });

  it("catches up on a notice that a crash left out", async () => {
    await make(TagStatus.LOST, "tag_1");
    await touch(["a"], { codeId: "tag_1" });
    const all = await entries();
    const crashing = withoutNotices(ground.store);
    const now = () => ground.clock.now;
    await expect(tagsProjection.project(all, { store: crashing, now })).rejects.toThrow("crash");
    expect((await made()).notes).toHaveLength(0);
    await tagsProjection.project(all, { store: ground.store, now });
    expect((await made()).notes).toHaveLength(1);
  });
});

/** A store whose process dies before it writes a notice. */
function withoutNotices(store: Store): Store {
  const collection: Store["collection"] = (model) => {
    const bound = store.collection(model);
    if (model.name !== noticeModel.name) return bound;
    return { of: (workspace) => ({ ...bound.of(workspace), bulk: () => Promise.reject(new Error("crash")) }) };
  };
  return { ...store, collection };
}
