import type { ServiceImpl } from "@connectrpc/connect";
import type { TagDirectoryService } from "#gen/waymark/tags/v1/directory_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { toTag } from "./messages.ts";
import { fail } from "./reasons.ts";
import { statusAt } from "./rules.ts";
import { printedTag, type Shared, visibleTag } from "./store.ts";
import { numberOf } from "./words.ts";

/** Handlers of TagDirectoryService. */
export function directoryHandlers(shared: Shared): ServiceImpl<typeof TagDirectoryService> {
  return {
    async resolveEncryptedId({ encryptedId }, handler) {
      const { workspace, tag } = await printedTag(shared, encryptedId);
      const status = numberOf.status(statusAt(tag, contextOf(handler).now()));
      return { workspaceId: workspace, tagId: tag.id, status, test: tag.test };
    },

    async findTag({ tagId }, handler) {
      const { principal, now } = contextOf(handler);
      const tag = await visibleTag(shared, principal, tagId);
      return { tag: toTag(tag, { publicUrl: shared.publicUrl, now: now() }) };
    },

    async setEmergencyAvailable({ tagId, available }, handler) {
      const { principal } = contextOf(handler);
      await visibleTag(shared, principal, tagId);
      const changed = await shared.tags
        .of(principal.workspace)
        .update(tagId, { set: { emergencyAvailable: available } });
      if (changed === undefined) throw fail("TAG_NOT_FOUND", { tagId });
      return {};
    },
  };
}
