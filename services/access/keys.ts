import { randomBytes } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { contextOf, type RequestContext, SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { toKey } from "./messages.ts";
import type { KeyDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { checkAllowList, checkExpiry, checkScopes, hashOf, secretFrom } from "./rules.ts";
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
  if (wanted.class === "publishable" && (wanted.origins ?? []).length === 0)
    throw fail("ORIGIN_NEEDED", { field: "origins" });
  return store.addKey(principal.workspace, {
    id: context.newId("key"),
    name: wanted.name,
    class: wanted.class,
    scopes: wanted.scopes,
    ipAllowList: wanted.ipAllowList ?? [],
    origins: wanted.origins ?? [],
    createdAt: now,
    createdBy: principal.keyId,
    expiresAt: wanted.expiresAt,
  });
}

/** Revokes a key of the caller's workspace; again changes nothing. */
export async function revokeKey(store: AccessStore, context: RequestContext, keyId: string): Promise<void> {
  const { workspace } = context.principal;
  const key = await store.keys.of(workspace).get(keyId);
  if (key === undefined) throw fail("KEY_NOT_FOUND", { keyId });
  if (key.revokedAt !== undefined) return;
  await store.keys.of(workspace).update(keyId, { set: { revokedAt: context.now() } });
  await store.announce("keys.changed", { workspace, id: keyId, aliases: hashesOf(key) });
}

function hashesOf(key: KeyDoc): string[] {
  return [key.hash, key.previousHash].filter((hash) => hash !== undefined);
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
      const key = await store.keys.of(contextOf(handler).principal.workspace).get(keyId);
      if (key === undefined) throw fail("KEY_NOT_FOUND", { keyId });
      return { key: toKey(key) };
    },

    async updateKey(request, handler) {
      const context = contextOf(handler);
      const { workspace } = context.principal;
      checkAllowList(request.ipAllowList);
      const expiresAt = request.expiresAt === undefined ? undefined : timestampMs(request.expiresAt);
      checkExpiry(expiresAt, context.now());
      const set: Partial<KeyDoc> = {};
      if (request.name !== undefined) set.name = request.name;
      if (expiresAt !== undefined) set.expiresAt = expiresAt;
      if (request.ipAllowList.length > 0) set.ipAllowList = request.ipAllowList;
      if (request.origins.length > 0) set.origins = request.origins;
      if (request.clear.includes("ipAllowList")) set.ipAllowList = [];
      const unset = request.clear.includes("expiresAt") ? ["expiresAt"] : [];
      const key = await store.keys.of(workspace).update(request.keyId, { set, unset });
      if (key === undefined) throw fail("KEY_NOT_FOUND", { keyId: request.keyId });
      await store.announce("keys.changed", { workspace, id: key.id, aliases: hashesOf(key) });
      return { key: toKey(key) };
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

async function rotate(store: AccessStore, context: RequestContext, wanted: { keyId: string; overlapSeconds: number }) {
  const { workspace } = context.principal;
  const old = await store.keys.of(workspace).get(wanted.keyId);
  if (old === undefined) throw fail("KEY_NOT_FOUND", { keyId: wanted.keyId });
  if (old.revokedAt !== undefined) throw fail("KEY_ENDED", { keyId: wanted.keyId });
  const secret = secretFrom(randomBytes(32));
  const hash = hashOf(secret);
  await store.hashes.insert({ id: hash, workspace, keyId: old.id });
  const previousUntil = context.now() + wanted.overlapSeconds * 1000;
  const set = { hash, prefix: secret.slice(0, 8), previousHash: old.hash, previousUntil };
  const key = await store.keys.of(workspace).update(old.id, { set }, { version: old.version });
  if (key === undefined) throw fail("KEY_ENDED", { keyId: wanted.keyId });
  if (old.previousHash !== undefined) await store.hashes.delete(old.previousHash);
  await store.announce("keys.changed", { workspace, id: key.id, aliases: [...hashesOf(key), ...hashesOf(old)] });
  return { key: toKey(key), secret };
}

/** The document of a key by the secret's hash, in whatever workspace it is. */
export async function findKey(
  store: AccessStore,
  hash: string,
): Promise<{ workspace: string; key: KeyDoc } | undefined> {
  const entry = await store.hashes.get(hash);
  if (entry === undefined || entry.workspace === SYSTEM_WORKSPACE) return undefined;
  const key = await store.keys.of(entry.workspace).get(entry.keyId);
  return key === undefined ? undefined : { workspace: entry.workspace, key };
}
