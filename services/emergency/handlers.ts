import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CallOptions, ServiceImpl } from "@connectrpc/connect";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import type { EmergencyService } from "#gen/waymark/emergency/v1/emergency_pb.ts";
import { TagDirectoryService } from "#gen/waymark/tags/v1/directory_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import { as, internalPrincipal } from "#runtime/internal.ts";
import { truncateIp } from "#runtime/place/address.ts";
import { openSealers } from "#runtime/seal.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { appendAccess, verifyAccesses } from "./access-log.ts";
import { type AccessDoc, accessModel, type ProfileDoc, profileModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { clientOf, type Profile, tidy } from "./rules.ts";

const TAGS_TIMEOUT_MS = 3000;
const AUDIT_TIMEOUT_MS = 300;

/** Who a public look is in the audit trail. */
const ANYONE = { keyId: "anonymous", keyName: "Anyone with the printed code" };

/** Handlers of EmergencyService. */
export function emergencyHandlers(deps: ServiceDeps): ServiceImpl<typeof EmergencyService> {
  const profiles = deps.store.collection(profileModel);
  const accesses = deps.store.collection(accessModel);
  const sealers = openSealers(deps.secrets, "emergency");
  const tags = deps.client(TagDirectoryService);
  const toTags = (options: CallOptions): CallOptions => ({ ...options, timeoutMs: TAGS_TIMEOUT_MS });
  const open = (workspace: string, doc: ProfileDoc): Profile =>
    JSON.parse(sealers(workspace).open(doc.sealed, placeOf(doc.id))) as Profile;

  /** Tells the audit trail. It may miss it: neither a rescue nor a stored change depends on the trail, or waits long for it. */
  const audit = async (item: { action: string; object: string }, options: CallOptions): Promise<void> => {
    const items = [{ ...item, outcome: "ok" }];
    const appended = deps.client(AuthorityService).appendAudit({ items }, { ...options, timeoutMs: AUDIT_TIMEOUT_MS });
    await appended.catch(() => undefined);
  };

  return {
    async readEmergency({ encryptedId }, handler) {
      const context = contextOf(handler);
      const place = await tags.resolveEncryptedId({ encryptedId }, toTags(forward(handler)));
      const { workspaceId: workspace, tagId, test } = place;
      const doc = await profiles.of(workspace).get(tagId);
      if (doc === undefined) throw fail("EMERGENCY_NOT_FOUND");
      const profile = open(workspace, doc);
      const look = { tagId, at: context.now(), ip: truncateIp(context.ip), client: clientOf(context.userAgent) };
      await appendAccess(accesses.of(workspace), look);
      const owner = { ...context, principal: { ...internalPrincipal(workspace), ...ANYONE, test } };
      await audit({ action: "emergency.read", object: tagId }, as(owner));
      return { profile };
    },

    async putEmergency({ tagId, ...given }, handler) {
      const context = contextOf(handler);
      const { workspace } = context.principal;
      const profile = tidy(given);
      await tags.findTag({ tagId }, toTags(forward(handler)));
      const now = context.now();
      const sealed = sealers(workspace).seal(JSON.stringify(profile), placeOf(tagId));
      const change = { set: { sealed, updatedAt: now } };
      await profiles.of(workspace).bulk([{ kind: "update", id: tagId, change, upsert: { createdAt: now } }]);
      await tags.setEmergencyAvailable({ tagId, available: true }, toTags(forward(handler)));
      await audit({ action: "emergency.update", object: tagId }, forward(handler));
      return { profile };
    },

    async getEmergency({ tagId }, handler) {
      const { workspace } = contextOf(handler).principal;
      await tags.findTag({ tagId }, toTags(forward(handler)));
      const doc = await profiles.of(workspace).get(tagId);
      if (doc === undefined) throw fail("EMERGENCY_NOT_FOUND");
      await audit({ action: "emergency.read", object: tagId }, forward(handler));
      return { profile: open(workspace, doc) };
    },

    async deleteEmergency({ tagId }, handler) {
      const { workspace } = contextOf(handler).principal;
      await tags.findTag({ tagId }, toTags(forward(handler)));
      if ((await profiles.of(workspace).get(tagId)) === undefined) throw fail("EMERGENCY_NOT_FOUND");
      await tags.setEmergencyAvailable({ tagId, available: false }, toTags(forward(handler)));
      await profiles.of(workspace).delete(tagId);
      await audit({ action: "emergency.delete", object: tagId }, forward(handler));
      return {};
    },

    async listEmergencyAccesses({ tagId, page = 1, limit = 10 }, handler) {
      const { workspace } = contextOf(handler).principal;
      await tags.findTag({ tagId }, toTags(forward(handler)));
      const log = accesses.of(workspace);
      const [docs, total] = await Promise.all([
        log.find({ where: { tagId }, sort: [["sequence", -1]], limit, skip: (page - 1) * limit }),
        log.count({ tagId }),
      ]);
      return { accesses: docs.map(toAccess), meta: { total, page, totalPages: Math.ceil(total / limit) } };
    },

    async verifyEmergencyAccesses({ tagId }, handler) {
      const { workspace } = contextOf(handler).principal;
      await tags.findTag({ tagId }, toTags(forward(handler)));
      return verifyAccesses(accesses.of(workspace), tagId);
    },
  };
}

/** Where a profile is sealed. */
function placeOf(tagId: string): string {
  return `emergency.profiles/${tagId}`;
}

function toAccess({ id, sequence, at, ip, client, previousHash, hash }: AccessDoc) {
  const accessedAt = timestampFromMs(at);
  return { id, sequence, accessedAt, ip: ip || undefined, userAgent: client || undefined, previousHash, hash };
}
