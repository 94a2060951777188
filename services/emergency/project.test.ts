import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";
import { dumpOf, projectThroughFaults, stepPlans, unbatched } from "../../test/support/faults.ts";
import { accessModel, emergencyModels, profileModel } from "./model.ts";
import { emergencyProjection } from "./project.ts";

const tag = fc.constantFrom("t1", "t2", "t3");
const at = fc.integer({ min: 1, max: 50 });
const looks = fc.array(fc.record({ tag, at }), { maxLength: 20 });
const profiles = fc.dictionary(tag, at);
const deletions = fc.array(fc.record({ tag, at }), { minLength: 1, maxLength: 8 });

function entryOf({ tag: objectId, at: ms }: { tag: string; at: number }, index: number): LogEntry {
  const message = create(ObjectChangedSchema, { workspaceId: "acme", objectId, changedAt: timestampFromMs(ms) });
  const payload = toBinary(ObjectChangedSchema, message);
  return { position: index + 1, partition: 0, subject: "tags.deleted", payload, appendedAt: 0 };
}

/** The documents that are left of these when all deletions are done. */
async function fill(store: Store, given: { looks: { tag: string; at: number }[]; profiles: Record<string, number> }) {
  for (const [id, updatedAt] of Object.entries(given.profiles))
    await store.collection(profileModel).of("acme").insert({ id, sealed: "sealed", createdAt: 0, updatedAt });
  for (const [sequence, look] of given.looks.entries()) {
    const doc = { tagId: look.tag, sequence, at: look.at, ip: "", client: "", previousHash: "", hash: `${sequence}` };
    await store
      .collection(accessModel)
      .of("acme")
      .insert({ id: `${look.tag}/${sequence}`, ...doc });
  }
}

it("removes what was written before a tag was deleted and nothing else, after any deaths, by twins and by late ones", async () => {
  const property = fc.asyncProperty(looks, profiles, deletions, stepPlans, async (given, written, deleted, plans) => {
    const [tried, kept] = [0, 1].map(() => unbatched(openSqliteStore({ path: ":memory:", models: emergencyModels })));
    const isLeft = (tagId: string, ms: number) => !deleted.some((one) => one.tag === tagId && one.at >= ms);
    await fill(tried as Store, { looks: given, profiles: written });
    const entries = deleted.map(entryOf);
    await projectThroughFaults({
      projection: emergencyProjection,
      entries,
      plans,
      store: tried as Store,
      now: () => 0,
    });
    await fill(kept as Store, { looks: given, profiles: written });
    for (const model of emergencyModels) {
      const collection = (kept as Store).collection<never>(model as never).of("acme");
      for (const doc of (await collection.find({})) as {
        id: string;
        tagId?: string;
        at?: number;
        updatedAt?: number;
      }[])
        if (!isLeft(doc.tagId ?? doc.id, doc.at ?? doc.updatedAt ?? 0)) await collection.delete(doc.id);
    }
    const documents = { models: emergencyModels, workspaces: ["acme"] };
    expect(await dumpOf(tried as Store, documents)).toEqual(await dumpOf(kept as Store, documents));
    await Promise.all([tried?.close(), kept?.close()]);
  });
  await fc.assert(property, { numRuns: 60 });
});
