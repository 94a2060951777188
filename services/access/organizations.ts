import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { OrganizationService } from "#gen/waymark/access/v1/organizations_pb.ts";
import { CodeService } from "#gen/waymark/codes/v1/codes_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { makeKey, revokeKey } from "./keys.ts";
import { toApiKey } from "./messages.ts";
import { memberModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { SCANS_API_SCOPES } from "./scopes.ts";
import type { AccessStore } from "./store.ts";

/** The most keys and members that the Scans API lists: it has no pages for them. */
const MOST = 1000;

/** Handlers of OrganizationService. */
export function organizationHandlers(deps: ServiceDeps, store: AccessStore): ServiceImpl<typeof OrganizationService> {
  const members = deps.store.collection(memberModel);
  return {
    async createApiKey({ name }, handler) {
      const context = contextOf(handler);
      const ofClass = context.principal.test ? "development" : "production";
      const { key, secret } = await makeKey(store, context, { name, class: ofClass, scopes: SCANS_API_SCOPES });
      return { id: key.id, name: key.name, key: secret, createdAt: timestampFromMs(key.createdAt) };
    },

    async listApiKeys(_request, handler) {
      const keys = store.keys.of(contextOf(handler).principal.workspace);
      const docs = await keys.find({ sort: [["createdAt", -1]], limit: MOST });
      return { keys: docs.map(toApiKey) };
    },

    async deleteApiKey({ id }, handler) {
      await revokeKey(store, contextOf(handler), id);
      return {};
    },

    async listOrganizations(_request, handler) {
      const { workspace } = contextOf(handler).principal;
      const [doc, membersCount, codes] = await Promise.all([
        store.workspaces.get(workspace),
        members.of(workspace).count(),
        deps.client(CodeService).listCodes({ limit: 1 }, forward(handler)),
      ]);
      if (doc === undefined) throw fail("WORKSPACE_NOT_FOUND", { workspaceId: workspace });
      const organization = {
        id: doc.id,
        name: doc.name,
        slug: slugOf(doc.name) || doc.id,
        plan: doc.plan,
        qprCodesCount: BigInt(codes.total),
        membersCount: BigInt(membersCount),
        createdAt: timestampFromMs(doc.createdAt),
      };
      return { organizations: [organization], total: 1n };
    },

    async listMembers({ id }, handler) {
      const { workspace } = contextOf(handler).principal;
      if (id !== workspace) throw fail("WORKSPACE_NOT_FOUND", { workspaceId: id });
      const docs = await members.of(workspace).find({ sort: [["joinedAt", 1]], limit: MOST });
      return {
        members: docs.map(({ id, email, role, joinedAt }) => ({
          id,
          email,
          role,
          joinedAt: timestampFromMs(joinedAt),
        })),
      };
    },
  };
}

/** "Hôtel Group" → "hotel-group". */
function slugOf(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
}
