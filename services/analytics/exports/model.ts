import { type Doc, defineModel } from "#runtime/model.ts";
import type { LeasedTask } from "#runtime/tasks.ts";

/** How far an export is. */
export type State = "queued" | "running" | "done" | "failed";

/** A file as the manifest has it. */
export interface FileEntry {
  number: number;
  name: string;
  rows: number;
  bytes: number;
  sha256: string;
}

/** An export of events. */
export interface ExportDoc extends Doc {
  test: boolean;
  state: State;
  format: "ndjson" | "csv" | "parquet";
  compression: "none" | "gzip" | "zstd";
  fields: readonly string[];
  /** waymark.analytics.v1.Condition, each as its JSON. */
  where: { list: readonly unknown[] };
  start?: number;
  end?: number;
  /** Nothing before this time was shown to the key that asked. */
  floor?: number;
  /** Position of the log of the moment that the files are of. */
  upTo?: number;
  rows: number;
  totalRows?: number;
  files: { list: readonly FileEntry[] };
  /** The replica that has the files. */
  replica?: string;
  error?: string;
  createdAt: number;
  finishedAt?: number;
  expiresAt: number;
}

export const exportModel = defineModel<ExportDoc>({
  name: "analytics.exports",
  fields: {
    test: { kind: "boolean", required: true },
    state: { kind: "string", required: true },
    format: { kind: "string", required: true },
    compression: { kind: "string", required: true },
    fields: { kind: "strings", required: true },
    where: { kind: "object", required: true },
    start: { kind: "number" },
    end: { kind: "number" },
    floor: { kind: "number" },
    upTo: { kind: "number" },
    rows: { kind: "number", required: true },
    totalRows: { kind: "number" },
    files: { kind: "object", required: true },
    replica: { kind: "string" },
    error: { kind: "string" },
    createdAt: { kind: "number", required: true },
    finishedAt: { kind: "number" },
    expiresAt: { kind: "number", required: true },
  },
  indexes: [{ name: "by_age", fields: ["test", "createdAt"] }],
});

/** An export that is to be made or to be removed one day, in SYSTEM_WORKSPACE, so that a restart finds it. Its id is the export's. */
export interface TaskDoc extends LeasedTask {
  workspaceId: string;
  /** It is to be made; else its files wait to be removed. */
  isOpen: boolean;
  /** The replica that was asked, and answers for the workspace: it comes first. */
  replica: string;
  expiresAt: number;
  createdAt: number;
}

export const taskModel = defineModel<TaskDoc>({
  name: "analytics.tasks",
  fields: {
    workspaceId: { kind: "string", required: true },
    isOpen: { kind: "boolean", required: true },
    replica: { kind: "string", required: true },
    owner: { kind: "string" },
    leaseUntil: { kind: "number", required: true },
    expiresAt: { kind: "number", required: true },
    createdAt: { kind: "number", required: true },
  },
  indexes: [{ name: "by_age", fields: ["isOpen", "createdAt"] }],
});
