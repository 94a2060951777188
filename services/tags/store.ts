import { createHash, randomBytes } from "node:crypto";
import { publicUrlOf } from "#runtime/config.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import type { Doc } from "#runtime/model.ts";
import { openSealers, type Sealer } from "#runtime/seal.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Bound, Collection, Where } from "#runtime/store.ts";
import { type EncryptedIds, openEncryptedIds } from "./encrypted-id.ts";
import {
  type MessageDoc,
  messageModel,
  type NoticeDoc,
  noticeModel,
  type ScanDoc,
  scanModel,
  type TagDoc,
  type ThreadDoc,
  type TokenDoc,
  tagModel,
  threadModel,
  tokenModel,
} from "./model.ts";
import { fail } from "./reasons.ts";

/** What the handlers of this service share. */
export interface Shared {
  deps: ServiceDeps;
  ids: EncryptedIds;
  sealer: (workspace: string) => Sealer;
  /** Base of the URLs that we hand out. */
  publicUrl: string;
  tags: Bound<TagDoc>;
  threads: Bound<ThreadDoc>;
  messages: Bound<MessageDoc>;
  scans: Bound<ScanDoc>;
  notices: Bound<NoticeDoc>;
  /** Of all workspaces. */
  tokens: Collection<TokenDoc>;
}

/** Opens what the handlers share. */
export function share(deps: ServiceDeps): Shared {
  const { store, secrets, config } = deps;
  return {
    deps,
    ids: openEncryptedIds(secrets.key("tags")),
    sealer: openSealers(secrets, "messages"),
    publicUrl: publicUrlOf(config),
    tags: store.collection(tagModel),
    threads: store.collection(threadModel),
    messages: store.collection(messageModel),
    scans: store.collection(scanModel),
    notices: store.collection(noticeModel),
    tokens: store.collection(tokenModel).of(SYSTEM_WORKSPACE),
  };
}

/** Who asks: the workspace, and whether test data or the rest is seen. */
export interface Viewer {
  workspace: string;
  test: boolean;
}

/** The tag of that id, if the caller may see it. Throws TAG_NOT_FOUND. */
export async function visibleTag(shared: Shared, viewer: Viewer, tagId: string): Promise<TagDoc> {
  const tag = await shared.tags.of(viewer.workspace).get(tagId);
  if (tag === undefined || tag.deletedAt !== undefined || tag.test !== viewer.test)
    throw fail("TAG_NOT_FOUND", { tagId });
  return tag;
}

/** The tag of a printed id, whoever asks. Throws TAG_NOT_FOUND, the same for every id that leads to no tag. */
export async function printedTag(shared: Shared, encryptedId: string): Promise<{ workspace: string; tag: TagDoc }> {
  const address = shared.ids.decrypt(encryptedId);
  const tag = address && (await shared.tags.of(address.workspace).get(address.tagId));
  if (address === undefined || tag === undefined || tag.deletedAt !== undefined)
    throw fail("TAG_NOT_FOUND", { tagId: encryptedId.slice(0, 64) });
  return { workspace: address.workspace, tag };
}

/** The thread of that id, if the caller may see it. Throws THREAD_NOT_FOUND. */
export async function visibleThread(shared: Shared, viewer: Viewer, threadId: string): Promise<ThreadDoc> {
  const thread = await shared.threads.of(viewer.workspace).get(threadId);
  if (thread === undefined || thread.test !== viewer.test) throw fail("THREAD_NOT_FOUND");
  return thread;
}

/** The thread that a token opens, and its tag. Throws THREAD_NOT_FOUND. */
export async function tokenThread(
  shared: Shared,
  token: string,
): Promise<{ workspace: string; thread: ThreadDoc; tag: TagDoc }> {
  const place = await shared.tokens.get(hashToken(token));
  if (place === undefined) throw fail("THREAD_NOT_FOUND");
  const workspace = place.workspaceId;
  const thread = await shared.threads.of(workspace).get(place.threadId);
  const tag = thread && (await shared.tags.of(workspace).get(thread.tagId));
  if (thread === undefined || tag === undefined || tag.deletedAt !== undefined) throw fail("THREAD_NOT_FOUND");
  return { workspace, thread, tag };
}

/** A fresh token of 192 random bits. */
export function newToken(): string {
  return `thr_tok_${randomBytes(24).toString("base64url")}`;
}

/** What is stored of a token. It has too many bits to be guessed, so a plain hash hides it. */
export function hashToken(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** One page of a list, and how many there are in all. */
export async function findPage<T extends Doc>(
  collection: Collection<T>,
  query: { where: Where<T>; newest: keyof T & string; page: number; limit: number },
): Promise<{ docs: T[]; total: number }> {
  const { where, newest, page, limit } = query;
  const [docs, total] = await Promise.all([
    collection.find({ where, sort: [[newest, -1]], limit, skip: (page - 1) * limit }),
    collection.count(where),
  ]);
  return { docs, total };
}

const PURGE_CHUNK = 500;

/** Deletes all that match, chunk by chunk; `before` sees each chunk first. */
export async function purge<T extends Doc>(
  collection: Collection<T>,
  where: Where<T>,
  before: (docs: readonly T[]) => Promise<unknown> = async () => undefined,
): Promise<void> {
  for (;;) {
    const docs = await collection.find({ where, limit: PURGE_CHUNK });
    if (docs.length === 0) return;
    await before(docs);
    await collection.bulk(docs.map(({ id }) => ({ kind: "delete", id })));
  }
}
