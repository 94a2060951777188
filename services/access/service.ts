import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { OrganizationService } from "#gen/waymark/access/v1/organizations_pb.ts";
import { WorkspaceTokenService } from "#gen/waymark/access/v1/tokens_pb.ts";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { type Background, defineService, type ServiceDeps } from "#runtime/service.ts";
import { authorityHandlers } from "./authority.ts";
import { keyHandlers } from "./keys.ts";
import { accessModels, type KeyDoc } from "./model.ts";
import { organizationHandlers } from "./organizations.ts";
import { DEFAULT_WORKSPACE, hashesOf, hashOf, newWorkspace } from "./rules.ts";
import { type AccessStore, accessStore } from "./store.ts";
import { tokenHandlers } from "./tokens.ts";
import { workspaceHandlers } from "./workspaces.ts";

/** Who may call, and what each workspace wants. */
export const access = defineService({
  name: "access",
  collections: accessModels,
  calls: ["codes"],
  publishes: ["keys.changed", "workspaces.changed"],
  consumes: [],
  routes: (router, deps) => {
    const store = accessStore(deps);
    router
      .service(AuthorityService, authorityHandlers(deps, store))
      .service(KeyService, keyHandlers(store))
      .service(WorkspaceService, workspaceHandlers(deps, store))
      .service(OrganizationService, organizationHandlers(deps, store))
      .service(WorkspaceTokenService, tokenHandlers(store));
  },
  start: async (deps): Promise<Background> => {
    await ensureDefault(deps);
    return { stop: async () => undefined };
  },
});

/** The key that WAYMARK_ADMIN_KEY is, or that the first start made. */
const ADMIN_KEY = {
  id: "key_admin",
  name: "admin key",
  class: "admin",
  scopes: ["admin"],
  ipAllowList: [],
  origins: [],
};

/**
 * Makes the workspace `default` and its admin key. A changed WAYMARK_ADMIN_KEY replaces the key before it and its limits:
 * that is the way back in when it was revoked or lost. The same one changes nothing, so a revoked key stays revoked.
 */
async function ensureDefault(deps: ServiceDeps): Promise<void> {
  const store = accessStore(deps);
  const now = deps.now();
  await store.workspaces.insert(newWorkspace({ id: DEFAULT_WORKSPACE, name: "Default", now }));
  const keys = store.keys.of(DEFAULT_WORKSPACE);
  const existing = await keys.get(ADMIN_KEY.id);
  const wanted = deps.config.adminKey;
  if (wanted !== undefined) await claim(store, hashOf(wanted));
  if (existing === undefined) {
    const made = await store.addKey(DEFAULT_WORKSPACE, { ...ADMIN_KEY, createdAt: now }, wanted);
    if (wanted === undefined && made !== undefined) deps.announce("admin key, shown this once", made.secret);
  } else if (wanted !== undefined && existing.hash !== hashOf(wanted)) {
    await replaceAdminKey(store, existing, wanted);
  }
}

/** Enters the hash of WAYMARK_ADMIN_KEY, unless it is the secret of another key: that one would be found in its place. */
async function claim(store: AccessStore, hash: string): Promise<void> {
  const outcome = await store.hashes.insert({ id: hash, workspace: DEFAULT_WORKSPACE, keyId: ADMIN_KEY.id });
  if (outcome.kind === "exists" && outcome.doc.keyId !== ADMIN_KEY.id)
    throw new Error("WAYMARK_ADMIN_KEY is the secret of another key; choose one of its own");
}

async function replaceAdminKey(store: AccessStore, existing: KeyDoc, secret: string): Promise<void> {
  const hash = hashOf(secret);
  const { id, ...fresh } = ADMIN_KEY;
  const set = { ...fresh, hash, prefix: secret.slice(0, 8), previous: [] };
  await store.keys.of(DEFAULT_WORKSPACE).update(id, { set, unset: ["revokedAt", "expiresAt"] });
  const aliases = [...hashesOf(existing), hash];
  await store.announce("keys.changed", { workspace: DEFAULT_WORKSPACE, id, change: "updated", aliases });
}
