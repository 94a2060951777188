import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { KeySchema } from "#gen/waymark/access/v1/keys_pb.ts";
import type { ApiKeySchema } from "#gen/waymark/access/v1/organizations_pb.ts";
import type { WorkspaceSchema } from "#gen/waymark/access/v1/workspaces_pb.ts";
import type { KeyDoc, WorkspaceDoc } from "./model.ts";

const time = (ms: number | undefined) => (ms === undefined ? undefined : timestampFromMs(ms));

/** A key as the platform API shows it. */
export function toKey(doc: KeyDoc): MessageInitShape<typeof KeySchema> {
  const { id, name, scopes, prefix, ipAllowList, origins, createdBy } = doc;
  return {
    id,
    name,
    class: doc.class,
    scopes,
    prefix,
    ipAllowList,
    origins,
    createdBy,
    createdAt: time(doc.createdAt),
    expiresAt: time(doc.expiresAt),
    lastUsedAt: time(doc.lastUsedAt),
    revokedAt: time(doc.revokedAt),
  };
}

/** A key as the Scans API lists it. */
export function toApiKey(doc: KeyDoc): MessageInitShape<typeof ApiKeySchema> {
  const { id, name } = doc;
  return {
    id,
    name,
    revoked: doc.revokedAt !== undefined,
    lastUsedAt: time(doc.lastUsedAt),
    createdAt: time(doc.createdAt),
  };
}

/** A workspace. */
export function toWorkspace(doc: WorkspaceDoc): MessageInitShape<typeof WorkspaceSchema> {
  const { id, name, timezone, plan, privacy, retention, createdAt } = doc;
  return { id, name, timezone, plan, privacy, retention, createdAt: time(createdAt) };
}
