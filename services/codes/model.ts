import type { JsonObject } from "@bufbuild/protobuf";
import type { CodeStatus } from "#gen/waymark/codes/v1/codes_pb.ts";
import type { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { type Doc, defineModel } from "#runtime/model.ts";
import { jobModel, jobPartModel, jobTaskModel } from "./job-model.ts";

/** A code of any purpose. Its id is the poster's where it stands for one. */
export interface CodeDoc extends Doc {
  purpose: Purpose;
  shortId: string;
  name: string;
  prompt: string;
  welcomeMessage?: string;
  template?: string;
  status: CodeStatus;
  destination?: string;
  /** waymark.codes.v1.Routing as its JSON. */
  routing?: JsonObject;
  metadata: JsonObject;
  tags: readonly string[];
  /** The program or experience. */
  parentId?: string;
  /** The ambassador. */
  ownerId?: string;
  /** The query parameter of the destination that carries the touch. */
  touchParameter?: string;
  /** The job that made it. */
  jobId?: string;
  /** Made by a development key. */
  test: boolean;
  deleted: boolean;
  createdAt: number;
  updatedAt: number;
}

/** All codes. */
export const codeModel = defineModel<CodeDoc>({
  name: "codes.codes",
  fields: {
    purpose: { kind: "number", required: true },
    shortId: { kind: "string", required: true },
    name: { kind: "string", required: true },
    prompt: { kind: "string", required: true },
    welcomeMessage: { kind: "string" },
    template: { kind: "string" },
    status: { kind: "number", required: true },
    destination: { kind: "string" },
    routing: { kind: "object" },
    metadata: { kind: "object", required: true },
    tags: { kind: "strings", required: true },
    parentId: { kind: "string" },
    ownerId: { kind: "string" },
    touchParameter: { kind: "string" },
    jobId: { kind: "string" },
    test: { kind: "boolean", required: true },
    deleted: { kind: "boolean", required: true },
    createdAt: { kind: "number", required: true },
    updatedAt: { kind: "number", required: true },
  },
  indexes: [
    { name: "by_age", fields: ["purpose", "test", "deleted", "createdAt"] },
    { name: "by_status", fields: ["purpose", "test", "deleted", "status", "createdAt"] },
    { name: "by_change", fields: ["purpose", "test", "deleted", "updatedAt"] },
    { name: "by_name", fields: ["purpose", "test", "deleted", "name"] },
    { name: "by_short_id", fields: ["purpose", "test", "deleted", "shortId"] },
    { name: "by_parent", fields: ["parentId"] },
  ],
});

/** Who owns a printed short id, in SYSTEM_WORKSPACE; its id is the short id. Never deleted once its code exists. */
export interface ShortIdDoc extends Doc {
  workspaceId: string;
  codeId: string;
  claimedAt: number;
}

/** The directory of short ids over all workspaces. */
export const shortIdModel = defineModel<ShortIdDoc>({
  name: "codes.short_ids",
  fields: {
    workspaceId: { kind: "string", required: true },
    codeId: { kind: "string", required: true },
    claimedAt: { kind: "number", required: true },
  },
  indexes: [],
});

/** A tag that a code was given. Its id follows from its name. */
export interface CodeTagDoc extends Doc {
  name: string;
  /** Made by a development key. */
  test: boolean;
  createdAt: number;
  /** Codes from which it was being taken last: others may not have been told. */
  takenFrom?: readonly string[];
}

/** The tags of codes. */
export const codeTagModel = defineModel<CodeTagDoc>({
  name: "codes.tags",
  fields: {
    name: { kind: "string", required: true },
    test: { kind: "boolean", required: true },
    createdAt: { kind: "number", required: true },
    takenFrom: { kind: "strings" },
  },
  indexes: [{ name: "by_name", fields: ["test", "name"] }],
});

/** Everything that the service stores. */
export const codesModels = [codeModel, shortIdModel, codeTagModel, jobModel, jobPartModel, jobTaskModel] as const;
