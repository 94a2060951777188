import { randomBytes } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import type { Change } from "#runtime/store.ts";
import { changeOf } from "./key-change.ts";
import { toKey } from "./messages.ts";
import type { KeyDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import {
  checkAbove,
  checkAllowList,
  checkClass,
  checkExpiry,
  checkScopes,
  hashesOf,
  hashOf,
  isEnded,
  readOrigins,
  replacedSecrets,
  secretFrom,
} from "./rules.ts";
import { SCOPES } from "./scopes.ts";
import { type AccessStore, type MadeKey, pageByTime } from "./store.ts";

/** What a new key is made from. */
export interface WantedKey {
  name: string;
  class: string;
  scopes: string[];
  expiresAt?: number;
  ipAllowList?: string[];
  origins?: string[];
}

/** Makes a key in the caller's workspace, refusing what the caller may not grant. */
export async function makeKey(store: AccessStore, context: RequestContext, wanted: WantedKey): Promise<MadeKey> {
  const { principal } = context;
  const now = context.now();
  checkScopes(wanted, principal);
  checkAllowList(wanted.ipAllowList ?? []);
  checkExpiry(wanted.expiresAt, now);
  const origins = readOrigins(wanted.origins ?? []);
  if (wanted.class === "publishable" && origins.length === 0) throw fail("ORIGIN_NEEDED", { field: "origins" });
  const made = await store.addKey(principal.workspace, {
    id: context.newId("key"),
    name: wanted.name,
    class: wanted.class,
    scopes: wanted.scopes,
    ipAllowList: wanted.ipAllowList ?? [],
    origins,
    createdAt: now,
    createdBy: principal.keyId,
    expiresAt: wanted.expiresAt,
  });
  if (made === undefined) throw new Error("a fresh id was taken already");
  return made;
}

/** Revokes a key of the caller's workspace. Again tells the caches again, in case the first call ended before it had. */
export async function revokeKey(store: AccessStore, context: RequestContext, keyId: string): Promise<void> {
  const { workspace } = context.principal;
  const key = await keyOf(store, context, keyId);
  checkClass(key.class, context.principal);
  const unrevoked = { where: { revokedAt: { exists: false } } };
  await store.keys.of(workspace).update(keyId, { set: { revokedAt: context.now() } }, unrevoked);
  await store.announce("keys.changed", { workspace, id: keyId, change: "deleted", aliases: hashesOf(key) });
}

/** Changes fields of a key and tells the caches. A change of nothing changes nothing. */
export async function changeKey(
  store: AccessStore,
  context: RequestContext,
  { key, set = {}, unset = [] }: Pick<Change<KeyDoc>, "set" | "unset"> & { key: KeyDoc },
): Promise<KeyDoc> {
  if (Object.keys(set).length === 0 && unset.length === 0) return key;
  const { workspace } = context.principal;
  const { id } = key;
  const change = { set: { ...set, updatedAt: context.now() }, unset };
  const changed = await store.keys.of(workspace).update(id, change);
  if (changed === undefined) throw fail("KEY_NOT_FOUND", { keyId: id });
  await store.announce("keys.changed", { workspace, id, change: "updated", aliases: hashesOf(changed) });
  return changed;
}

/** Handlers of KeyService. */
export function keyHandlers(store: AccessStore): ServiceImpl<typeof KeyService> {
  return {
    async createKey(request, handler) {
      const expiresAt = request.expiresAt === undefined ? undefined : timestampMs(request.expiresAt);
      const wanted = { ...request, class: request.class || "production", expiresAt };
      const { key, secret } = await makeKey(store, contextOf(handler), wanted);
      return { key: toKey(key), secret };
    },

    async listKeys({ pageSize, pageToken }, handler) {
      const keys = store.keys.of(contextOf(handler).principal.workspace);
      const { docs, nextPageToken } = await pageByTime(keys, { size: pageSize, token: pageToken, direction: -1 });
      return { keys: docs.map(toKey), nextPageToken };
    },

    async getKey({ keyId }, handler) {
      return { key: toKey(await keyOf(store, contextOf(handler), keyId)) };
    },

    async updateKey(request, handler) {
      const context = contextOf(handler);
      const key = await keyOf(store, context, request.keyId);
      checkAbove(key, context.principal);
      const change = changeOf(request, { key, now: context.now() });
      return { key: toKey(await changeKey(store, context, { key, ...change })) };
    },

    async deleteKey({ keyId }, handler) {
      await revokeKey(store, contextOf(handler), keyId);
      return {};
    },

    async rotateKey({ keyId, overlapSeconds }, handler) {
      return rotate(store, contextOf(handler), { keyId, overlapSeconds });
    },

    listScopes: () => ({ scopes: Object.entries(SCOPES).map(([name, description]) => ({ name, description })) }),
  };
}

async function keyOf(store: AccessStore, { principal }: RequestContext, keyId: string): Promise<KeyDoc> {
  const key = await store.keys.of(principal.workspace).get(keyId);
  if (key === undefined) throw fail("KEY_NOT_FOUND", { keyId });
  return key;
}

/** The hash goes first, as in a new key; the guard lets one of two rotations at the same time win. */
async function rotate(store: AccessStore, context: RequestContext, wanted: { keyId: string; overlapSeconds: number }) {
  const { workspace } = context.principal;
  const { keyId, overlapSeconds } = wanted;
  const now = context.now();
  const old = await keyOf(store, context, keyId);
  checkAbove(old, context.principal);
  if (isEnded(old, now)) throw fail("KEY_ENDED", { keyId });
  const previous = replacedSecrets(old, { overlapSeconds, now });
  const secret = secretFrom(randomBytes(32));
  const hash = hashOf(secret);
  await store.hashes.insert({ id: hash, workspace, keyId });
  const change = { set: { hash, prefix: secret.slice(0, 8), previous, updatedAt: now } };
  const unchanged = { where: { hash: old.hash, revokedAt: { exists: false } } };
  const key = await store.keys.of(workspace).update(keyId, change, unchanged);
  if (key === undefined) throw fail("KEY_CHANGED", { keyId });
  const aliases = [...hashesOf(key), ...hashesOf(old)];
  await store.announce("keys.changed", { workspace, id: keyId, change: "updated", aliases });
  return { key: toKey(key), secret };
}

/** The document of a key by the secret's hash, in whatever workspace it is. */
export async function findKey(
  store: AccessStore,
  hash: string,
): Promise<{ workspace: string; key: KeyDoc } | undefined> {
  const entry = await store.hashes.get(hash);
  if (entry === undefined) return undefined;
  const key = await store.keys.of(entry.workspace).get(entry.keyId);
  return key === undefined ? undefined : { workspace: entry.workspace, key };
}
