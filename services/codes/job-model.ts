import { type Doc, defineModel } from "#runtime/model.ts";
import type { LeasedTask } from "#runtime/tasks.ts";
import type { Draft } from "./create.ts";

/** How far a job is. */
export type JobState = "pending" | "running" | "succeeded" | "failed";

/** A job that makes links. */
export interface JobDoc extends Doc {
  test: boolean;
  state: JobState;
  /** Ids of the links, in the order of the request: those that they are to have, then those that they have. */
  linkIds: readonly string[];
  /** In whose name it works, for the audit trail; the address is truncated. */
  caller: { keyId: string; keyName: string; keyClass: string; requestId: string; ip: string };
  error?: { codeType: string; message: string };
  createdAt: number;
  completedAt?: number;
}

export const jobModel = defineModel<JobDoc>({
  name: "codes.jobs",
  fields: {
    test: { kind: "boolean", required: true },
    state: { kind: "string", required: true },
    linkIds: { kind: "strings", required: true },
    caller: { kind: "object", required: true },
    error: { kind: "object" },
    createdAt: { kind: "number", required: true },
    completedAt: { kind: "number" },
  },
  indexes: [{ name: "by_state", fields: ["state"] }],
});

/** Some of the codes that a job is to make: all of them would not go into one document. */
export interface JobPartDoc extends Doc {
  jobId: string;
  number: number;
  drafts: readonly Draft[];
}

export const jobPartModel = defineModel<JobPartDoc>({
  name: "codes.job_parts",
  fields: {
    jobId: { kind: "string", required: true },
    number: { kind: "number", required: true },
    drafts: { kind: "list", required: true },
  },
  indexes: [{ name: "by_job", fields: ["jobId", "number"] }],
});

/** A job that is to be done or to be removed one day, in SYSTEM_WORKSPACE, so that any process finds it. Its id is the job's. */
export interface JobTaskDoc extends LeasedTask {
  workspaceId: string;
  /** It is to be done; else it waits to be removed. */
  isOpen: boolean;
  createdAt: number;
  expiresAt: number;
}

export const jobTaskModel = defineModel<JobTaskDoc>({
  name: "codes.job_tasks",
  fields: {
    workspaceId: { kind: "string", required: true },
    isOpen: { kind: "boolean", required: true },
    owner: { kind: "string" },
    leaseUntil: { kind: "number", required: true },
    createdAt: { kind: "number", required: true },
    expiresAt: { kind: "number", required: true },
  },
  indexes: [{ name: "by_age", fields: ["isOpen", "createdAt"] }],
});
