import { fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Projection } from "#runtime/service.ts";
import type { Store } from "#runtime/store.ts";
import { accessModel, profileModel } from "./model.ts";

const CHUNK = 500;

/** Removes emergency information and its access log when the tag is deleted. What was written after that stays. */
export const emergencyProjection: Projection = {
  name: "emergency",
  subjects: ["tags.deleted"],
  project: async (entries, { store }) => {
    for (const { payload } of entries) {
      const { workspaceId, objectId, changedAt } = fromBinary(ObjectChangedSchema, payload);
      const until = changedAt === undefined ? 0 : timestampMs(changedAt);
      await remove(store, { workspace: workspaceId, tagId: objectId, until });
    }
  },
};

async function remove(
  store: Store,
  { workspace, tagId, until }: { workspace: string; tagId: string; until: number },
): Promise<void> {
  const profiles = store.collection(profileModel).of(workspace);
  const profile = await profiles.get(tagId);
  if (profile !== undefined && profile.updatedAt <= until) await profiles.delete(tagId);
  const accesses = store.collection(accessModel).of(workspace);
  for (;;) {
    const docs = await accesses.find({ where: { tagId, at: { lte: until } }, limit: CHUNK });
    if (docs.length === 0) return;
    await accesses.bulk(docs.map(({ id }) => ({ kind: "delete", id })));
  }
}
