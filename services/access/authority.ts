import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
import { truncateIp } from "#runtime/place/address.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { findKey } from "./keys.ts";
import { auditModel, type KeyDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { endOfSecret, hashOf, refusalOf } from "./rules.ts";
import type { AccessStore } from "./store.ts";

/** How long an answer may be cached, in milliseconds. */
const VALID_MS = 60_000;

/** `lastUsedAt` is exact to the minute, so that a busy key is not written at each request. */
const USED_EVERY_MS = 60_000;

/** Handlers of AuthorityService. */
export function authorityHandlers(deps: ServiceDeps, store: AccessStore): ServiceImpl<typeof AuthorityService> {
  return {
    async authenticate(request, handler) {
      const now = contextOf(handler).now();
      const hash = hashOf(request.key);
      const found = await findKey(store, hash);
      if (found === undefined) throw refuse("UNAUTHENTICATED");
      const { workspace, key } = found;
      const refusal = refusalOf(key, { hash, ip: request.ip, origin: request.origin, now });
      if (refusal !== undefined) throw refuse(refusal);
      await noteUse(store, { workspace, key, now });
      return {
        workspaceId: workspace,
        keyId: key.id,
        keyName: key.name,
        keyClass: key.class,
        scopes: key.scopes,
        test: key.class === "development",
        validUntil: timestampFromMs(validUntil(key, { hash, now })),
        boundToCaller: key.ipAllowList.length > 0 || key.class === "publishable",
      };
    },

    async getSettings(_request, handler) {
      const { workspace } = contextOf(handler).principal;
      const doc = await store.workspaces.get(workspace);
      if (doc === undefined) throw fail("WORKSPACE_NOT_FOUND", { workspaceId: workspace });
      return { timezone: doc.timezone, privacy: doc.privacy };
    },

    async appendAudit({ items }, handler) {
      const { principal, requestId, ip, now, newId } = contextOf(handler);
      const common = { at: now(), keyId: principal.keyId, keyName: principal.keyName, ip: truncateIp(ip), requestId };
      const audit = deps.store.collection(auditModel).of(principal.workspace);
      await audit.bulk(
        items.map(({ action, object, outcome }) => ({
          kind: "insert",
          doc: { ...common, id: newId("aud"), action, object, outcome },
        })),
      );
      return {};
    },
  };
}

function validUntil(key: KeyDoc, call: { hash: string; now: number }): number {
  const ends = [call.now + VALID_MS];
  if (key.expiresAt !== undefined) ends.push(key.expiresAt);
  const end = endOfSecret(key, call);
  if (end !== undefined) ends.push(end);
  return Math.min(...ends);
}

/** A store that cannot write, on a full disk, must not keep callers from reading: the time of use is a courtesy. */
async function noteUse(store: AccessStore, use: { workspace: string; key: KeyDoc; now: number }): Promise<void> {
  if (use.now - (use.key.lastUsedAt ?? 0) < USED_EVERY_MS) return;
  const noted = store.keys.of(use.workspace).update(use.key.id, { max: { lastUsedAt: use.now } });
  await noted.catch(() => undefined);
}
