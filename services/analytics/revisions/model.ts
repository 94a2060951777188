import type { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import type { DeviceChange } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { type Doc, defineModel } from "#runtime/model.ts";
import type { LeasedTask } from "#runtime/tasks.ts";

/** How far a revision is. "discarded": it is gone for callers, and what it left is being removed. */
export type State = "queued" | "running" | "ready" | "applying" | "applied" | "failed" | "discarded";

/** Who is the same visitor, as waymark.analytics.v1.IdentityRules says it. */
export interface IdentityRules {
  ignoreVersions: boolean;
  devices?: DeviceIdentitySetting;
  maxPerDay?: number;
}

/** Who is a program, as waymark.analytics.v1.BotRules says it; needles are in small letters. `identity`: who is the same visitor. */
export interface Rules {
  builtIn: boolean;
  userAgentContains: readonly string[];
  deviceIds: readonly string[];
  asns: readonly number[];
  maxPerMinute?: number;
  identity?: IdentityRules;
}

/** Numbers before and after. */
export interface Numbers {
  eventsBefore: number;
  eventsAfter: number;
  visitorsBefore: number;
  visitorsAfter: number;
}

/** An event whose judgement or device changes. Empty reasons: it counts. Of which devices it is nobody keeps here: they may be forgotten. */
export interface Changed {
  id: string;
  linkId: string;
  scannedAt: number;
  from: string;
  to: string;
  actor: string;
  device: DeviceChange;
}

/** What a revision changes, as waymark.analytics.v1.RevisionDifference has it. */
export interface Difference {
  considered: number;
  changed: number;
  unjudged: number;
  unjudgedDevices: number;
  moves: readonly { from: string; to: string; touches: number }[];
  deviceMoves: readonly { change: DeviceChange; touches: number }[];
  totals: Numbers;
  byLink: readonly { linkId: string; changed: number; numbers: Numbers }[];
  byDay: readonly { date: string; changed: number; numbers: Numbers }[];
  sample: readonly Changed[];
}

/** A re-run of history. */
export interface RevisionDoc extends Doc {
  test: boolean;
  state: State;
  progress: number;
  /** The first and the last millisecond that is looked at. */
  start: number;
  end: number;
  /** Nothing before this time was shown to the key that asked. */
  floor?: number;
  linkId?: string;
  rules: Rules;
  rulesVersion?: string;
  difference?: Difference;
  /** Position of the log up to which the difference knows everything. */
  upTo?: number;
  /** Documents of decisions, and how many of them stand on the log. */
  parts?: number;
  partsApplied?: number;
  /** Touches whose correction stands on the log, and the position of the last. */
  applied: number;
  lastPosition?: number;
  createdAt: number;
  computedAt?: number;
  revisedAt?: number;
  appliedAt?: number;
  error?: string;
}

export const revisionModel = defineModel<RevisionDoc>({
  name: "analytics.revisions",
  fields: {
    test: { kind: "boolean", required: true },
    state: { kind: "string", required: true },
    progress: { kind: "number", required: true },
    start: { kind: "number", required: true },
    end: { kind: "number", required: true },
    floor: { kind: "number" },
    linkId: { kind: "string" },
    rules: { kind: "object", required: true },
    rulesVersion: { kind: "string" },
    difference: { kind: "object" },
    upTo: { kind: "number" },
    parts: { kind: "number" },
    partsApplied: { kind: "number" },
    applied: { kind: "number", required: true },
    lastPosition: { kind: "number" },
    createdAt: { kind: "number", required: true },
    computedAt: { kind: "number" },
    revisedAt: { kind: "number" },
    appliedAt: { kind: "number" },
    error: { kind: "string" },
  },
  indexes: [{ name: "by_age", fields: ["test", "createdAt"] }],
});

/** How touches are judged from now on. */
export interface Decision {
  human: boolean;
  reason: string;
  actor: string;
  /** With what, read again from the user agent. */
  device?: {
    type: number;
    browser: string;
    browserVersion: string;
    platform: string;
    platformVersion: string;
    brand: string;
  };
}

/**
 * A touch with the number of its decision, AS_IT_WAS where only its device changes. Where that does: the number of the device that it
 * is of, and of the one that it was of.
 */
export type Decided = readonly [id: string, decision: number, device?: number, before?: number];

/** In place of the number of a decision. */
export const AS_IT_WAS = -1;

/**
 * Decisions of a revision, a thousand touches each, so that exactly what was shown is applied, whatever happens between. Its id is
 * the revision's, a slash and its number from 0.
 */
export interface PartDoc extends Doc {
  revisionId: string;
  /** Touches by code. */
  codes: { list: readonly { codeId: string; touches: readonly Decided[] }[] };
  decisions: { list: readonly Decision[] };
  /** Pseudonyms of devices; one that is empty is none. */
  devices?: { list: readonly string[] };
  /** How many touches. */
  touches: number;
}

export const partModel = defineModel<PartDoc>({
  name: "analytics.revision_parts",
  fields: {
    revisionId: { kind: "string", required: true },
    codes: { kind: "object", required: true },
    decisions: { kind: "object", required: true },
    devices: { kind: "object" },
    touches: { kind: "number", required: true },
  },
  indexes: [{ name: "by_revision", fields: ["revisionId"] }],
});

/** What is to be done with a revision. */
export type Work = "compute" | "apply" | "discard";

/** Work that is to be done, in SYSTEM_WORKSPACE, so that whoever is there after a crash finds it. Its id: revision:work. */
export interface RevisionTaskDoc extends LeasedTask {
  workspaceId: string;
  revisionId: string;
  work: Work;
  createdAt: number;
}

export const revisionTaskModel = defineModel<RevisionTaskDoc>({
  name: "analytics.revision_tasks",
  fields: {
    workspaceId: { kind: "string", required: true },
    revisionId: { kind: "string", required: true },
    work: { kind: "string", required: true },
    owner: { kind: "string" },
    leaseUntil: { kind: "number", required: true },
    createdAt: { kind: "number", required: true },
  },
  indexes: [{ name: "by_age", fields: ["createdAt"] }],
});
