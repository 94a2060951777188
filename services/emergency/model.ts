import { type Doc, defineModel } from "#runtime/model.ts";

/** The emergency information of a tag, whose id it has. */
export interface ProfileDoc extends Doc {
  /** JSON of the profile, sealed. */
  sealed: string;
  createdAt: number;
  updatedAt: number;
}

/** One look. Never changed; its id is `tag/sequence`, so that two looks cannot take one place. */
export interface AccessDoc extends Doc {
  tagId: string;
  sequence: number;
  at: number;
  /** Truncated; empty: unknown. */
  ip: string;
  /** Browser and system; empty: unknown. */
  client: string;
  previousHash: string;
  hash: string;
}

/** Emergency information. */
export const profileModel = defineModel<ProfileDoc>({
  name: "emergency.profiles",
  fields: {
    sealed: { kind: "string", required: true },
    createdAt: { kind: "number", required: true },
    updatedAt: { kind: "number", required: true },
  },
  indexes: [],
});

/** Who looked. */
export const accessModel = defineModel<AccessDoc>({
  name: "emergency.accesses",
  fields: {
    tagId: { kind: "string", required: true },
    sequence: { kind: "number", required: true },
    at: { kind: "number", required: true },
    ip: { kind: "string" },
    client: { kind: "string" },
    previousHash: { kind: "string", required: true },
    hash: { kind: "string", required: true },
  },
  indexes: [{ name: "tag", fields: ["tagId", "sequence"], unique: true }],
});

/** Everything that the service stores. */
export const emergencyModels = [profileModel, accessModel] as const;
