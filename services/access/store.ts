import { randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import type { Subject } from "#runtime/log.ts";
import type { Doc } from "#runtime/model.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Collection } from "#runtime/store.ts";
import { type KeyDoc, keyHashModel, keyModel, workspaceModel } from "./model.ts";
import { decodeCursor, encodeCursor, hashOf, secretFrom } from "./rules.ts";

/** A key that was just made, with the secret that is shown once. */
export interface MadeKey {
  key: KeyDoc;
  secret: string;
}

/** The access service's documents, by what it does with them. */
export function accessStore(deps: Pick<ServiceDeps, "store" | "log" | "newId" | "now">) {
  const keys = deps.store.collection(keyModel);
  const hashes = deps.store.collection(keyHashModel).of(SYSTEM_WORKSPACE);
  const workspaces = deps.store.collection(workspaceModel).of(SYSTEM_WORKSPACE);

  /** Stores a key and its hash; the hash last, so that a key that authenticates is complete. */
  async function addKey(workspace: string, key: Omit<KeyDoc, "hash" | "prefix">, given?: string): Promise<MadeKey> {
    const secret = given ?? secretFrom(randomBytes(32));
    const doc: KeyDoc = { ...key, hash: hashOf(secret), prefix: secret.slice(0, 8) };
    await keys.of(workspace).insert(doc);
    await hashes.insert({ id: doc.hash, workspace, keyId: doc.id });
    return { key: doc, secret };
  }

  /** Tells caches to drop an object and the names it is known by. Resolves when that is durable. */
  async function announce(
    subject: Subject,
    changed: { workspace: string; id: string; aliases?: string[] },
  ): Promise<void> {
    const event = create(ObjectChangedSchema, {
      workspaceId: changed.workspace,
      objectId: changed.id,
      aliases: changed.aliases ?? [],
      changedAt: timestampFromMs(deps.now()),
    });
    const payload = toBinary(ObjectChangedSchema, event);
    await deps.log.append([{ subject, key: changed.id, payload }], deps.newId("chg"));
  }

  return { keys, hashes, workspaces, addKey, announce };
}

export type AccessStore = ReturnType<typeof accessStore>;

/** How many more documents than a page are fetched, so that ties in time cannot hide the page's first. */
const TIES = 200;

/** A page of documents by the time they were made. */
export async function pageByTime<T extends Doc & { createdAt: number }>(
  collection: Collection<T>,
  page: { size: number; token: string; direction: 1 | -1 },
): Promise<{ docs: T[]; nextPageToken: string }> {
  const size = Math.min(page.size === 0 ? 50 : page.size, 200);
  const after = decodeCursor(page.token);
  const bound =
    after === undefined ? undefined : page.direction === 1 ? { gte: after.createdAt } : { lte: after.createdAt };
  const where = (bound === undefined ? {} : { createdAt: bound }) as never;
  const found = await collection.find({ where, sort: [["createdAt", page.direction]], limit: size + 1 + TIES });
  const begin = after === undefined ? 0 : found.findIndex((doc) => doc.id === after.id) + 1;
  const docs = found.slice(begin, begin + size);
  return { docs, nextPageToken: found.length > begin + size ? encodeCursor(docs.at(-1)) : "" };
}
