import type {
  DeviceIdentitySetting,
  IpSetting,
  PlaceSetting,
  UserAgentSetting,
} from "#gen/waymark/access/v1/authority_pb.ts";
import { type Doc, defineModel } from "#runtime/model.ts";

/** A secret that was replaced and works `until` then, as its hash. */
export interface PreviousSecret {
  hash: string;
  until: number;
}

/** A key, without its secret. `hash` is the SHA-256 of the secret in hex. */
export interface KeyDoc extends Doc {
  name: string;
  class: string;
  scopes: string[];
  prefix: string;
  hash: string;
  /** Secrets before this one that still work, newest first. */
  previous?: PreviousSecret[];
  ipAllowList: string[];
  origins: string[];
  createdAt: number;
  /** When anything but its use was changed last. */
  updatedAt?: number;
  createdBy?: string;
  expiresAt?: number;
  lastUsedAt?: number;
  revokedAt?: number;
}

/** Keys of a workspace. */
export const keyModel = defineModel<KeyDoc>({
  name: "access.keys",
  fields: {
    name: { kind: "string", required: true },
    class: { kind: "string", required: true },
    scopes: { kind: "strings", required: true },
    prefix: { kind: "string", required: true },
    hash: { kind: "string", required: true },
    previous: { kind: "list" },
    ipAllowList: { kind: "strings", default: [] },
    origins: { kind: "strings", default: [] },
    createdAt: { kind: "number", required: true },
    updatedAt: { kind: "number" },
    createdBy: { kind: "string" },
    expiresAt: { kind: "number" },
    lastUsedAt: { kind: "number" },
    revokedAt: { kind: "number" },
  },
  indexes: [{ name: "created", fields: ["createdAt"] }],
});

/** Which key a hash belongs to, or belonged to: entries stay, so that a replaced secret is refused as such. In SYSTEM_WORKSPACE. */
export interface KeyHashDoc extends Doc {
  workspace: string;
  keyId: string;
}

/** Directory of key hashes over all workspaces. */
export const keyHashModel = defineModel<KeyHashDoc>({
  name: "access.keyHashes",
  fields: { workspace: { kind: "string", required: true }, keyId: { kind: "string", required: true } },
  indexes: [],
});

/** What a workspace collects; see Privacy in authority.proto. */
export interface PrivacyDoc {
  ip: IpSetting;
  userAgent: UserAgentSetting;
  place: PlaceSetting;
  deviceIdentity: DeviceIdentitySetting;
  respectGpc: boolean;
  consentRequired: boolean;
}

/** A workspace. In SYSTEM_WORKSPACE. */
export interface WorkspaceDoc extends Doc {
  name: string;
  /** The key it is made with. While there is no such key the making has not ended. Absent in `default`. */
  firstKeyId?: string;
  timezone: string;
  plan: string;
  privacy: PrivacyDoc;
  retention: { scansDays: number; threadsDays: number; accessLogDays: number };
  createdAt: number;
}

/** Directory of workspaces. */
export const workspaceModel = defineModel<WorkspaceDoc>({
  name: "access.workspaces",
  fields: {
    name: { kind: "string", required: true },
    timezone: { kind: "string", required: true },
    firstKeyId: { kind: "string" },
    plan: { kind: "string", required: true },
    privacy: { kind: "object", required: true },
    retention: { kind: "object", required: true },
    createdAt: { kind: "number", required: true },
  },
  indexes: [{ name: "created", fields: ["createdAt"] }],
});

/** A person of a workspace. */
export interface MemberDoc extends Doc {
  email: string;
  role: string;
  joinedAt: number;
}

/** Members of a workspace. */
export const memberModel = defineModel<MemberDoc>({
  name: "access.members",
  fields: {
    email: { kind: "string", required: true },
    role: { kind: "string", required: true },
    joinedAt: { kind: "number", required: true },
  },
  indexes: [{ name: "joined", fields: ["joinedAt"] }],
});

/** One entry of the audit trail: who did or read what. */
export interface AuditDoc extends Doc {
  at: number;
  keyId: string;
  keyName: string;
  action: string;
  object: string;
  outcome: string;
  /** Truncated: last octet, or last 80 bits of IPv6, zeroed. */
  ip: string;
  requestId: string;
}

/** Audit trail of a workspace; append-only. */
export const auditModel = defineModel<AuditDoc>({
  name: "access.audit",
  fields: {
    at: { kind: "number", required: true },
    keyId: { kind: "string", required: true },
    keyName: { kind: "string", required: true },
    action: { kind: "string", required: true },
    object: { kind: "string", required: true },
    outcome: { kind: "string", required: true },
    ip: { kind: "string", default: "" },
    requestId: { kind: "string", required: true },
  },
  indexes: [{ name: "at", fields: ["at"] }],
});

/** Everything that the service stores. */
export const accessModels = [keyModel, keyHashModel, workspaceModel, memberModel, auditModel] as const;
