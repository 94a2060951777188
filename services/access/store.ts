import { randomBytes } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import type { Subject } from "#runtime/log.ts";
import type { Doc } from "#runtime/model.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Collection, Where } from "#runtime/store.ts";
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

  /**
   * Stores a key; undefined when there is one of that id. The hash goes first: an end between the two leaves a hash that
   * leads nowhere, never a key that is listed and cannot be used.
   */
  async function addKey(
    workspace: string,
    key: Omit<KeyDoc, "hash" | "prefix">,
    secret = secretFrom(randomBytes(32)),
  ): Promise<MadeKey | undefined> {
    const doc: KeyDoc = { ...key, hash: hashOf(secret), prefix: secret.slice(0, 8) };
    await hashes.insert({ id: doc.hash, workspace, keyId: doc.id });
    const { kind } = await keys.of(workspace).insert(doc);
    return kind === "applied" ? { key: doc, secret } : undefined;
  }

  /** Tells caches to drop an object and the names it is known by. Resolves when that is durable. */
  async function announce(
    subject: Subject,
    changed: { workspace: string; id: string; change: "created" | "updated" | "deleted"; aliases?: readonly string[] },
  ): Promise<void> {
    const event = create(ObjectChangedSchema, {
      workspaceId: changed.workspace,
      objectId: changed.id,
      aliases: [...new Set(changed.aliases)],
      change: changed.change,
      changedAt: timestampFromMs(deps.now()),
    });
    const payload = toBinary(ObjectChangedSchema, event);
    await deps.log.append([{ subject, key: changed.id, payload }], deps.newId("chg"));
  }

  return { keys, hashes, workspaces, addKey, announce };
}

export type AccessStore = ReturnType<typeof accessStore>;

/** What page is wanted, of what documents. */
interface WantedPage<T extends Doc> {
  /** 0: fifty. */
  size: number;
  /** The largest size; absent: two hundred. */
  most?: number;
  token: string;
  direction: 1 | -1;
  where?: Where<T>;
}

/** A page of documents by the time they were made, then by id: first the rest of the time at which the page before ended. */
export async function pageByTime<T extends Doc & { createdAt: number }>(
  collection: Collection<T>,
  page: WantedPage<T>,
): Promise<{ docs: T[]; nextPageToken: string }> {
  const size = Math.min(page.size === 0 ? 50 : page.size, page.most ?? 200);
  const after = decodeCursor(page.token);
  const beyond = <V>(value: V) => (page.direction === 1 ? { gt: value } : { lt: value });
  const wheres =
    after === undefined
      ? [{}]
      : [{ createdAt: after.createdAt, id: beyond(after.id) }, { createdAt: beyond(after.createdAt) }];
  const found: T[] = [];
  for (const where of wheres as Where<T>[]) {
    if (found.length <= size)
      found.push(
        ...(await collection.find({
          where: { ...page.where, ...where },
          sort: [["createdAt", page.direction]],
          limit: size + 1 - found.length,
        })),
      );
  }
  const docs = found.slice(0, size);
  return { docs, nextPageToken: found.length > size ? encodeCursor(docs.at(-1)) : "" };
}
