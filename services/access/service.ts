import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { KeyService } from "#gen/waymark/access/v1/keys_pb.ts";
import { OrganizationService } from "#gen/waymark/access/v1/organizations_pb.ts";
import { WorkspaceService } from "#gen/waymark/access/v1/workspaces_pb.ts";
import { type Background, defineService, type ServiceDeps } from "#runtime/service.ts";
import { authorityHandlers } from "./authority.ts";
import { keyHandlers } from "./keys.ts";
import { accessModels } from "./model.ts";
import { organizationHandlers } from "./organizations.ts";
import { DEFAULT_WORKSPACE, hashOf, newWorkspace } from "./rules.ts";
import { accessStore } from "./store.ts";
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
      .service(OrganizationService, organizationHandlers(deps, store));
  },
  start: async (deps): Promise<Background> => {
    await ensureDefault(deps);
    return { stop: async () => undefined };
  },
});

/** Id of the key that WAYMARK_ADMIN_KEY is, or that the first start made. */
const ADMIN_KEY_ID = "key_admin";

/** Makes the workspace `default` and its admin key; a changed WAYMARK_ADMIN_KEY replaces the key before it. */
async function ensureDefault(deps: ServiceDeps): Promise<void> {
  const store = accessStore(deps);
  const now = deps.now();
  await store.workspaces.insert(newWorkspace({ id: DEFAULT_WORKSPACE, name: "Default", now }));
  const keys = store.keys.of(DEFAULT_WORKSPACE);
  const existing = await keys.get(ADMIN_KEY_ID);
  const wanted = deps.config.adminKey;
  if (existing === undefined) {
    const key = {
      id: ADMIN_KEY_ID,
      name: "admin key",
      class: "admin",
      scopes: ["admin"],
      ipAllowList: [],
      origins: [],
    };
    const made = await store.addKey(DEFAULT_WORKSPACE, { ...key, createdAt: now }, wanted);
    if (wanted === undefined) deps.announce("admin key, shown this once", made.secret);
    return;
  }
  if (wanted === undefined || existing.hash === hashOf(wanted)) return;
  const hash = hashOf(wanted);
  await store.hashes.insert({ id: hash, workspace: DEFAULT_WORKSPACE, keyId: ADMIN_KEY_ID });
  await keys.update(ADMIN_KEY_ID, { set: { hash, prefix: wanted.slice(0, 8) }, unset: ["revokedAt"] });
  await store.hashes.delete(existing.hash);
  await store.announce("keys.changed", {
    workspace: DEFAULT_WORKSPACE,
    id: ADMIN_KEY_ID,
    aliases: [existing.hash, hash],
  });
}
