import type { ServiceImpl } from "@connectrpc/connect";
import type { PrivacyPatch, RetentionPatch, WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { toKey, toWorkspace } from "./messages.ts";
import { memberModel, type PrivacyDoc, type WorkspaceDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { checkTimezone, DEFAULT_WORKSPACE, newWorkspace } from "./rules.ts";
import { SCOPES } from "./scopes.ts";
import { type AccessStore, pageByTime } from "./store.ts";

/** Handlers of WorkspaceService. */
export function workspaceHandlers(deps: ServiceDeps, store: AccessStore): ServiceImpl<typeof WorkspaceService> {
  return {
    async getWorkspace(_request, handler) {
      return { workspace: toWorkspace(await mine(store, contextOf(handler))) };
    },

    async updateWorkspace(request, handler) {
      const context = contextOf(handler);
      checkTimezone(request.timezone);
      const doc = await mine(store, context);
      const set: Partial<WorkspaceDoc> = {
        privacy: patchPrivacy(doc.privacy, request.privacy),
        retention: patchRetention(doc.retention, request.retention),
      };
      if (request.name !== undefined) set.name = request.name;
      if (request.timezone !== undefined) set.timezone = request.timezone;
      const changed = await store.workspaces.update(doc.id, { set });
      await store.announce("workspaces.changed", { workspace: doc.id, id: doc.id });
      return { workspace: toWorkspace(changed ?? doc) };
    },

    async createWorkspace(request, handler) {
      const context = contextOf(handler);
      checkOperator(context);
      const id = request.id ?? context.newId("ws").toLowerCase().replace("_", "-");
      const doc = newWorkspace({ id, name: request.name, now: context.now() });
      const outcome = await store.workspaces.insert(doc);
      if (outcome.kind !== "applied") throw fail("WORKSPACE_EXISTS", { workspaceId: id });
      if (request.ownerEmail !== undefined) {
        const member = { id: context.newId("mem"), email: request.ownerEmail, role: "admin", joinedAt: doc.createdAt };
        await deps.store.collection(memberModel).of(id).insert(member);
      }
      const scopes = Object.keys(SCOPES).filter((scope) => scope !== "admin");
      const first = { id: context.newId("key"), name: "first key", class: "production", scopes };
      const made = await store.addKey(id, { ...first, ipAllowList: [], origins: [], createdAt: doc.createdAt });
      return { workspace: toWorkspace(doc), key: toKey(made.key), secret: made.secret };
    },

    async listWorkspaces({ pageSize, pageToken }, handler) {
      checkOperator(contextOf(handler));
      const page = { size: pageSize, token: pageToken, direction: 1 } as const;
      const { docs, nextPageToken } = await pageByTime(store.workspaces, page);
      return { workspaces: docs.map(toWorkspace), nextPageToken };
    },
  };
}

async function mine(store: AccessStore, context: RequestContext): Promise<WorkspaceDoc> {
  const { workspace } = context.principal;
  const doc = await store.workspaces.get(workspace);
  if (doc === undefined) throw fail("WORKSPACE_NOT_FOUND", { workspaceId: workspace });
  return doc;
}

function checkOperator({ principal }: RequestContext): void {
  if (principal.keyClass !== "internal" && principal.workspace !== DEFAULT_WORKSPACE) throw fail("NOT_OPERATOR");
}

function patchPrivacy(now: PrivacyDoc, patch: PrivacyPatch | undefined): PrivacyDoc {
  if (patch === undefined) return now;
  return {
    ip: patch.ip || now.ip,
    userAgent: patch.userAgent || now.userAgent,
    place: patch.place || now.place,
    deviceIdentity: patch.deviceIdentity || now.deviceIdentity,
    respectGpc: patch.respectGpc ?? now.respectGpc,
    consentRequired: patch.consentRequired ?? now.consentRequired,
  };
}

function patchRetention(now: WorkspaceDoc["retention"], patch: RetentionPatch | undefined): WorkspaceDoc["retention"] {
  return {
    scansDays: patch?.scansDays ?? now.scansDays,
    threadsDays: patch?.threadsDays ?? now.threadsDays,
    accessLogDays: patch?.accessLogDays ?? now.accessLogDays,
  };
}
