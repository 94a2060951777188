import type { ServiceImpl } from "@connectrpc/connect";
import type { TagService } from "#gen/waymark/tags/v1/tags_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import { announceDeletion, audit } from "./announce.ts";
import { changeTo, newTag, patchTag } from "./draft.ts";
import { toScan, toTag } from "./messages.ts";
import type { TagDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { MORTAL, pageMeta } from "./rules.ts";
import { findPage, purge, type Shared, visibleTag } from "./store.ts";
import { statusWord } from "./words.ts";

const SETTLE_CHUNK = 500;
const ATTEMPTS = 3;

/** Handlers of TagService. */
export function tagHandlers(shared: Shared): ServiceImpl<typeof TagService> {
  const shown = (tag: TagDoc, { now }: RequestContext) => toTag(tag, { publicUrl: shared.publicUrl, now: now() });
  return {
    async createTag(request, handler) {
      const context = contextOf(handler);
      const { workspace, test } = context.principal;
      const id = request.id ?? context.newId("tag");
      const encryptedId = shared.ids.encrypt({ workspace, tagId: id });
      const tag = newTag(request, { id, encryptedId, now: context.now(), test });
      await insertTag(shared, workspace, tag);
      await audit(shared.deps, { action: "tags.create", object: id }, handler);
      return { tag: shown(tag, context) };
    },

    async listTags({ page = 1, limit = 10, status }, handler) {
      const context = contextOf(handler);
      const { workspace, test } = context.principal;
      await settleExpired(shared, workspace, context.now());
      const where = { test, status: statusWord(status), deletedAt: { exists: false } };
      const { docs, total } = await findPage(shared.tags.of(workspace), { where, newest: "createdAt", page, limit });
      return { tags: docs.map((tag) => shown(tag, context)), meta: pageMeta(total, { page, limit }) };
    },

    async getTag({ tagId }, handler) {
      const context = contextOf(handler);
      return { tag: shown(await visibleTag(shared, context.principal, tagId), context) };
    },

    async updateTag(request, handler) {
      const context = contextOf(handler);
      const { workspace } = context.principal;
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const tag = await visibleTag(shared, context.principal, request.tagId);
        const change = changeTo(patchTag(tag, request, context.now()));
        const changed = await shared.tags.of(workspace).update(tag.id, change, { version: tag.version });
        if (changed === undefined) continue;
        await audit(shared.deps, { action: "tags.update", object: tag.id }, handler);
        return { tag: shown(changed, context) };
      }
      throw fail("TAG_CHANGED", { tagId: request.tagId });
    },

    async deleteTag({ tagId }, handler) {
      const context = contextOf(handler);
      const { workspace, test } = context.principal;
      const tag = await shared.tags.of(workspace).get(tagId);
      if (tag === undefined || tag.test !== test) throw fail("TAG_NOT_FOUND", { tagId });
      await removeTag(shared, { workspace, tag, now: context.now() });
      await audit(shared.deps, { action: "tags.delete", object: tagId }, handler);
      return {};
    },

    async listTagScans({ tagId, page = 1, limit = 10 }, handler) {
      const { principal } = contextOf(handler);
      await visibleTag(shared, principal, tagId);
      const scans = shared.scans.of(principal.workspace);
      const { docs, total } = await findPage(scans, { where: { tagId }, newest: "scannedAt", page, limit });
      return { scans: docs.map(toScan), meta: pageMeta(total, { page, limit }) };
    },
  };
}

/** Inserts a tag. The rest of a deletion under its id that was cut short is done first. */
async function insertTag(shared: Shared, workspace: string, tag: TagDoc): Promise<void> {
  const tags = shared.tags.of(workspace);
  let outcome = await tags.insert(tag);
  if (outcome.kind === "exists" && outcome.doc.deletedAt !== undefined) {
    await removeTag(shared, { workspace, tag: outcome.doc, now: tag.createdAt });
    outcome = await tags.insert(tag);
  }
  if (outcome.kind !== "applied") throw fail("TAG_EXISTS", { tagId: tag.id });
}

/**
 * Removes a tag with all that hangs on it. The mark comes first: from then on it does not exist for anyone. The document
 * goes last, so a removal that was cut short can be asked for again.
 */
async function removeTag(
  shared: Shared,
  { workspace, tag, now }: { workspace: string; tag: TagDoc; now: number },
): Promise<void> {
  const tagId = tag.id;
  const deletedAt = tag.deletedAt ?? now;
  await shared.tags.of(workspace).update(tagId, { set: { deletedAt } });
  await announceDeletion(shared.deps, { workspace, tag, deletedAt });
  await purge(shared.threads.of(workspace), { tagId }, (threads) =>
    shared.tokens.bulk(threads.map(({ tokenHash }) => ({ kind: "delete", id: tokenHash }))),
  );
  await purge(shared.messages.of(workspace), { tagId });
  await purge(shared.scans.of(workspace), { tagId });
  await purge(shared.notices.of(workspace), { tagId });
  await shared.tags.of(workspace).delete(tagId);
}

/** Writes EXPIRED into the tags whose time is over, so that a list can be filtered and counted by status. */
async function settleExpired(shared: Shared, workspace: string, now: number): Promise<void> {
  const tags = shared.tags.of(workspace);
  for (;;) {
    const over = await tags.find({ where: { expiresAt: { lte: now }, status: { in: MORTAL } }, limit: SETTLE_CHUNK });
    if (over.length === 0) return;
    await tags.bulk(
      over.map(({ id, version, expiresAt }) => ({
        kind: "update",
        id,
        change: { set: { status: "EXPIRED", statusSince: expiresAt as number } },
        guard: { version },
      })),
    );
  }
}
