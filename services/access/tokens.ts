import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  ApiScopeAccess,
  type CreateWorkspaceTokenRequest,
  type UpdateWorkspaceTokenRequest,
  WorkspaceTokenKeyType,
  type WorkspaceTokenService,
} from "#gen/waymark/access/v1/tokens_pb.ts";
import { contextOf, type Principal } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
import { readTexts } from "./key-change.ts";
import { changeKey, makeKey, revokeKey } from "./keys.ts";
import type { KeyDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { checkAbove, checkScopes } from "./rules.ts";
import { CLASS_SCOPES, SCOPES } from "./scopes.ts";
import { type AccessStore, pageByTime } from "./store.ts";

/** The most tokens of a page, and as many as there are when nobody says how many. */
const MOST = 1_000;

const MOST_SCOPES = 60;

/** Resources as the vendor's clients call them; they take no other scopes than those of these. */
const VENDOR_NAMES: Readonly<Record<string, string>> = {
  codes: "links",
  visitors: "visitors",
  analytics: "analytics",
  webhooks: "webhooks",
  keys: "tokens",
};
const OWN_NAMES = new Map(Object.entries(VENDOR_NAMES).map(([own, vendor]) => [vendor, own]));

/** Classes of keys that are tokens. */
const CLASSES = ["production", "development", "analytics", "publishable"];

const LIVE = { revokedAt: { exists: false }, class: { in: CLASSES } } as const;

const GRANTABLE = Object.keys(SCOPES).filter((scope) => scope !== "admin");

/** "codes:read" → "API_SCOPE_LINKS_READ"; undefined for a scope that the vendor does not have. */
function vendorScope(scope: string): string | undefined {
  const [resource = "", access = ""] = scope.split(":");
  const name = VENDOR_NAMES[resource];
  return name && `API_SCOPE_${name.toUpperCase()}_${access.toUpperCase()}`;
}

const BY_VENDOR_NAME = new Map(GRANTABLE.map((scope) => [vendorScope(scope), scope]));

/** Our scopes of the names that a client gives; writing allows reading too. Refuses names that there are not. */
function scopesOf(names: readonly string[]): string[] {
  const scopes = new Set<string>();
  names.forEach((name, index) => {
    const [resource = "", access = ""] = name.split(":");
    const plain = `${OWN_NAMES.get(resource) ?? resource}:${access}`;
    const scope = BY_VENDOR_NAME.get(name) ?? (GRANTABLE.includes(plain) ? plain : undefined);
    if (scope === undefined) throw fail("SCOPE_UNKNOWN", { field: `scopes[${index}]`, scope: name });
    scopes.add(scope);
    const reading = scope.replace(/:write$/, ":read");
    if (GRANTABLE.includes(reading)) scopes.add(reading);
  });
  return [...scopes];
}

/** All that keys of a class can do. */
function scopesOfClass(ofClass: string): readonly string[] {
  return CLASS_SCOPES[ofClass] ?? GRANTABLE;
}

/** All that keys of a class can do and their maker has. */
function everything(ofClass: string, { scopes }: Principal): string[] {
  const can = scopesOfClass(ofClass);
  return can.filter((scope) => scope !== "admin" && (scopes.includes("admin") || scopes.includes(scope)));
}

/** What an UpdateWorkspaceToken sets; refuses what the caller may not grant. Nothing when it asks for nothing. */
function tokenChangeOf(request: UpdateWorkspaceTokenRequest, key: KeyDoc, caller: Principal): Partial<KeyDoc> {
  const { name, fullAccess } = request;
  const names = request.scopes && readTexts(request.scopes, { field: "scopes", most: MOST_SCOPES });
  const refuseScopes = (must: string) => refuse("INVALID_FIELD", { field: "scopes", must });
  if (names !== undefined && fullAccess) throw refuseScopes("must be left out with fullAccess");
  if (names?.length === 0) throw refuseScopes("must have at least one; delete a token that is to do nothing");
  checkAbove(key, caller);
  const set: Partial<KeyDoc> = name === undefined ? {} : { name };
  if (names !== undefined) set.scopes = scopesOf(names);
  if (fullAccess) set.scopes = [...scopesOfClass(key.class)];
  if (set.scopes !== undefined) checkScopes({ class: key.class, scopes: set.scopes }, caller);
  return set;
}

/** Handlers of WorkspaceTokenService. */
export function tokenHandlers(store: AccessStore): ServiceImpl<typeof WorkspaceTokenService> {
  const find = async (id: string, workspace: string): Promise<KeyDoc> => {
    const key = await store.keys.of(workspace).get(id);
    if (key === undefined || !CLASSES.includes(key.class)) throw fail("KEY_NOT_FOUND", { keyId: id });
    return key;
  };
  const findLive = async (id: string, workspace: string): Promise<KeyDoc> => {
    const key = await find(id, workspace);
    if (key.revokedAt !== undefined) throw fail("KEY_NOT_FOUND", { keyId: id });
    return key;
  };
  return {
    createWorkspaceToken: async (request, handler) => {
      const context = contextOf(handler);
      const ofClass = classOf(request, context.principal);
      const scopes = request.scopes.length === 0 ? everything(ofClass, context.principal) : scopesOf(request.scopes);
      const wanted = { name: request.name || "Token", class: ofClass, scopes, origins: request.origins };
      const { key, secret } = await makeKey(store, context, wanted);
      return { accessToken: secret, token: toToken(key, context.principal.workspace) };
    },
    listWorkspaceTokens: async ({ pageSize = MOST, pageToken, cursor }, handler) => {
      const { workspace } = contextOf(handler).principal;
      const page = { size: pageSize, most: MOST, token: pageToken || cursor, direction: -1, where: LIVE } as const;
      const { docs, nextPageToken } = await pageByTime(store.keys.of(workspace), page);
      return { tokens: docs.map((key) => toToken(key, workspace)), nextPageToken: nextPageToken || undefined };
    },
    getWorkspaceToken: async ({ id }, handler) => {
      const { workspace } = contextOf(handler).principal;
      return { token: toToken(await findLive(id, workspace), workspace) };
    },
    updateWorkspaceToken: async (request, handler) => {
      const context = contextOf(handler);
      const key = await findLive(request.id, context.principal.workspace);
      const changed = await changeKey(store, context, { key, set: tokenChangeOf(request, key, context.principal) });
      return { token: toToken(changed, context.principal.workspace) };
    },
    deleteWorkspaceToken: async ({ id }, handler) => {
      const context = contextOf(handler);
      await find(id, context.principal.workspace);
      await revokeKey(store, context, id);
      return {};
    },
    listApiScopes: () => ({ scopes: API_SCOPES }),
  };
}

const API_SCOPES = GRANTABLE.flatMap((scope) => {
  const [own = "", access = ""] = scope.split(":");
  const resource = VENDOR_NAMES[own];
  const word = vendorScope(scope);
  if (resource === undefined || word === undefined) return [];
  const info = {
    scope: word,
    name: `${resource}:${access}`,
    resource,
    access: access === "write" ? ApiScopeAccess.WRITE : ApiScopeAccess.READ,
    description: SCOPES[scope] ?? "",
  };
  return [info];
}).sort((a, b) => (a.scope < b.scope ? -1 : 1));

function classOf({ keyType, keyClass }: CreateWorkspaceTokenRequest, { test }: Principal): string {
  if (keyType === WorkspaceTokenKeyType.PUBLISHABLE) return "publishable";
  if (keyClass === "") return test ? "development" : "production";
  if (["production", "development", "analytics"].includes(keyClass)) return keyClass;
  throw fail("TOKEN_CLASS_UNKNOWN", { field: "key_class" });
}

function toToken(key: KeyDoc, workspaceId: string) {
  const isPublishable = key.class === "publishable";
  const can = scopesOfClass(key.class);
  return {
    id: key.id,
    name: key.name,
    keyType: isPublishable ? WorkspaceTokenKeyType.PUBLISHABLE : WorkspaceTokenKeyType.SECRET,
    workspaceId,
    createdBy: key.createdBy ?? "",
    createdAt: timestampFromMs(key.createdAt),
    updatedAt: timestampFromMs(key.updatedAt ?? key.createdAt),
    lastUsedAt: key.lastUsedAt === undefined ? undefined : timestampFromMs(key.lastUsedAt),
    scopes: key.scopes.flatMap((scope) => vendorScope(scope) ?? []),
    allScopes: key.scopes,
    fullAccess: can.every((scope) => key.scopes.includes(scope)),
    keyClass: key.class,
  };
}
