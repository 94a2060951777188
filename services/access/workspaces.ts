import type { ServiceImpl } from "@connectrpc/connect";
import type {
  CreateWorkspaceRequest,
  UpdateWorkspaceRequest,
  WorkspaceService,
} from "#gen/waymark/access/v1/workspaces_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { toKey, toWorkspace } from "./messages.ts";
import { memberModel, type WorkspaceDoc } from "./model.ts";
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
      const { id } = await mine(store, context);
      const changed = await store.workspaces.update(id, { set: changesOf(request) });
      if (changed === undefined) throw fail("WORKSPACE_NOT_FOUND", { workspaceId: id });
      await store.announce("workspaces.changed", { workspace: id, id, change: "updated" });
      return { workspace: toWorkspace(changed) };
    },

    async createWorkspace(request, handler) {
      const context = contextOf(handler);
      checkOperator(context);
      const doc = await beginWorkspace(store, context, request);
      await setOwner(deps, doc, request.ownerEmail);
      await store.announce("workspaces.changed", { workspace: doc.id, id: doc.id, change: "created" });
      const scopes = Object.keys(SCOPES).filter((scope) => scope !== "admin");
      const first = { id: doc.firstKeyId, name: "first key", class: "production", ipAllowList: [], origins: [] };
      const made = await store.addKey(doc.id, { ...first, scopes, createdAt: doc.createdAt });
      if (made === undefined) throw fail("WORKSPACE_EXISTS", { workspaceId: doc.id });
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

type Begun = WorkspaceDoc & { firstKeyId: string };

/**
 * The document of a workspace that is being made. Its first key is made last and ends the making: until then the next call
 * with this id takes it over, so that no workspace is left to which nobody has a key.
 */
async function beginWorkspace(store: AccessStore, context: RequestContext, wanted: CreateWorkspaceRequest) {
  const { name } = wanted;
  const id = wanted.id ?? context.newId("ws").toLowerCase().replace("_", "-");
  const doc = newWorkspace({ id, name, firstKeyId: context.newId("key"), now: context.now() });
  const outcome = await store.workspaces.insert(doc);
  if (outcome.kind !== "exists") return doc as Begun;
  const { firstKeyId } = outcome.doc;
  if (firstKeyId === undefined || (await store.keys.of(id).get(firstKeyId)) !== undefined)
    throw fail("WORKSPACE_EXISTS", { workspaceId: id });
  const taken = await store.workspaces.update(id, { set: { name, createdAt: context.now() } });
  return (taken ?? outcome.doc) as Begun;
}

/** Makes the first member, in place of the one of a making that was cut short. */
async function setOwner(deps: ServiceDeps, doc: Begun, email: string | undefined): Promise<void> {
  const members = deps.store.collection(memberModel).of(doc.id);
  const id = doc.firstKeyId.replace("key_", "mem_");
  await members.delete(id);
  if (email !== undefined) await members.insert({ id, email, role: "admin", joinedAt: doc.createdAt });
}

function checkOperator({ principal }: RequestContext): void {
  if (principal.keyClass === "internal") return;
  if (principal.workspace !== DEFAULT_WORKSPACE || !principal.scopes.includes("admin")) throw fail("NOT_OPERATOR");
}

/** The changes by path, so that two callers who change different settings do not undo each other. */
function changesOf({ name, timezone, privacy, retention }: UpdateWorkspaceRequest): Record<string, unknown> {
  return {
    name,
    timezone,
    "privacy.ip": privacy?.ip || undefined,
    "privacy.userAgent": privacy?.userAgent || undefined,
    "privacy.place": privacy?.place || undefined,
    "privacy.deviceIdentity": privacy?.deviceIdentity || undefined,
    "privacy.respectGpc": privacy?.respectGpc,
    "privacy.consentRequired": privacy?.consentRequired,
    "retention.scansDays": retention?.scansDays,
    "retention.threadsDays": retention?.threadsDays,
    "retention.accessLogDays": retention?.accessLogDays,
  };
}
