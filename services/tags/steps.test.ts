import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Purpose, TouchBatchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";
import {
  dumpOf,
  projectCleanly,
  projectThroughFaults,
  stepPlans,
  stoppingAt,
  unbatched,
} from "../../test/support/faults.ts";
import { noticeModel, scanModel, tagModel, tagsModels } from "./model.ts";
import { tagsProjection } from "./project.ts";

const NOW = Date.UTC(2025, 5, 1);
const STATUSES = { tag_1: "LOST", tag_2: "ACTIVE", tag_3: "STOLEN" } as const;

const scan = fc
  .record({
    number: fc.integer({ min: 0, max: 6 }), // few, so that duplicates are common
    tag: fc.constantFrom("tag_1", "tag_2", "tag_3", "no_tag"),
    at: fc.integer({ min: 1, max: 50 }),
    human: fc.constantFrom(true, true, true, false),
  })
  .map(({ number, ...rest }) => ({ id: `scan_${rest.tag}_${number}`, ...rest }));
type Scan = Parameters<Parameters<typeof scan.map>[0]>[0];

function entryOf(scans: readonly Scan[], position: number): LogEntry {
  const touches = scans.map(({ id, tag, at, human }) => ({
    ...{ id, workspaceId: "acme", purpose: Purpose.LOST_AND_FOUND, codeId: tag },
    ...{ scannedAt: timestampFromMs(NOW + at), verdict: human ? Verdict.HUMAN : Verdict.BOT },
  }));
  const payload = toBinary(TouchBatchSchema, create(TouchBatchSchema, { touches }));
  return { position, partition: 0, subject: "touches.lost_and_found", payload, appendedAt: 0 };
}

async function openStore(): Promise<Store> {
  const store = unbatched(openSqliteStore({ path: ":memory:", models: tagsModels }));
  for (const id of ["tag_1", "tag_2", "tag_3"] as const) await tags(store).insert(tagOf(id));
  return store;
}

const tags = (store: Store) => store.collection(tagModel).of("acme");

function tagOf(id: keyof typeof STATUSES, createdAt = NOW - 1000) {
  return {
    ...{ id, encryptedId: id, itemName: "Keys", ownerName: "Jane", tagType: "GENERAL" as const, status: STATUSES[id] },
    ...{ statusSince: NOW, photos: [], contactEnabled: true, isPrivate: false, emergencyAvailable: false, test: false },
    ...{ createdAt, updatedAt: createdAt },
  };
}

describe("a step of the projection of tags without transactions", () => {
  it("is done once after any deaths, by twins, and when one that was stopped goes on later", async () => {
    const histories = fc.array(fc.array(scan, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 });
    const property = fc.asyncProperty(histories, stepPlans, async (history, plans) => {
      const [tried, clean] = [await openStore(), await openStore()];
      const entries = history.map((scans, index) => entryOf(scans, index + 1));
      const course = { projection: tagsProjection, entries, plans, now: () => NOW + 100 };
      await projectThroughFaults({ ...course, store: tried });
      await projectCleanly({ ...course, store: clean });
      const documents = { models: tagsModels, workspaces: ["acme"] };
      expect(await dumpOf(tried, documents)).toEqual(await dumpOf(clean, documents));
      const seen = new Map<string, Scan>();
      for (const one of history.flat())
        if (one.human && one.tag !== "no_tag" && !seen.has(one.id)) seen.set(one.id, one);
      const made = await tried.collection(scanModel).of("acme").find({});
      expect(made.map(({ id, tagId }) => [id, tagId])).toEqual(
        [...seen.values()].map(({ id, tag }) => [id, tag]).sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)),
      );
      const alarming = [...seen.values()].filter(({ tag }) => tag !== "tag_2");
      expect(await tried.collection(noticeModel).of("acme").count()).toBe(alarming.length);
      await Promise.all([tried.close(), clean.close()]);
    });
    await fc.assert(property, { numRuns: 60 });
  });

  describe("that is stopped while the tag is deleted", () => {
    let store: Store;
    beforeEach(async () => {
      store = await openStore();
    });
    afterEach(() => store.close());

    it.each([
      ["and stays away", () => undefined],
      ["and made again", () => tags(store).insert(tagOf("tag_1", NOW + 5))],
    ])("%s leaves nothing of its scans behind", async (_case, after) => {
      const { store: stopping, stopped, wake } = stoppingAt(store, 1);
      const entries = [entryOf([{ id: "scan_1", tag: "tag_1", at: 1, human: true }], 1)];
      const done = tagsProjection.project(entries, { store: stopping, now: () => NOW + 100 });
      await stopped;
      await tags(store).delete("tag_1");
      await after();
      await wake();
      await done;
      expect(await store.collection(scanModel).of("acme").find({})).toEqual([]);
      expect(await store.collection(noticeModel).of("acme").find({})).toEqual([]);
    });
  });
});
