import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterEach } from "vitest";
import { TouchesRevisedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import {
  ConversationUpdatedSchema,
  Purpose,
  TouchBatchSchema,
  TouchSchema,
  Verdict,
} from "#gen/waymark/events/v1/touches_pb.ts";
import { type LogEntry, partitionOf } from "#runtime/log.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import type { Store } from "#runtime/store.ts";
import { scansModels } from "./model.ts";

export const WORKSPACE = "ws";
export const NOW = Date.UTC(2026, 10, 20, 13, 37, 11);
export const DAY = 86_400_000;
export const zones = ["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Kathmandu"];

export type Event =
  | {
      kind: "scan";
      id: string;
      code: string;
      device: string;
      at: number;
      country: string;
      /** Why it is filtered; empty: a person's. */
      reason: string;
      messages: number;
      started: boolean;
      test: boolean;
      purpose: Purpose;
    }
  | { kind: "talk"; id: string; code: string; messages: number }
  | {
      kind: "revise";
      id: string;
      code: string;
      /** Why it is filtered from now on; empty: a person's; undefined: as it was. */
      reason: string | undefined;
      /** Of which device it is from now on; empty: of none; undefined: as it was. */
      device: string | undefined;
      test: boolean;
    };
export type Scan = Extract<Event, { kind: "scan" }>;

export const code = fc.constantFrom("qpr_a", "qpr_b");
export const scan = fc.record({
  kind: fc.constant("scan" as const),
  id: fc.integer({ min: 0, max: 25 }).map((n) => `scan_${n}`),
  code,
  device: fc.oneof(
    fc.constant(""),
    fc.integer({ min: 1, max: 15 }).map((n) => `d${n}`),
  ),
  at: fc.oneof(
    fc.integer({ min: NOW - 100 * DAY, max: NOW + 600_000 }),
    fc.integer({ min: NOW - 2 * DAY, max: NOW }),
    // Around the midnights that begin the last 7 and 30 days, in all zones.
    fc
      .tuple(fc.constantFrom(6, 29), fc.integer({ min: -60, max: 60 }), fc.constantFrom(0, 1, 899_999))
      .map(([days, slots, ms]) => (Math.floor(NOW / DAY) - days) * DAY + slots * 900_000 + ms),
  ),
  country: fc.constantFrom("", "US", "GB", "IN"),
  reason: fc.constantFrom("", "", "isbot"),
  messages: fc.constantFrom(0, 0, 0, 3),
  started: fc.boolean(),
  test: fc.constantFrom(false, false, false, true),
  purpose: fc.constantFrom(Purpose.MARKETING, Purpose.MARKETING, Purpose.MARKETING, Purpose.MEDICAL),
});
export const talk = fc.record({
  kind: fc.constant("talk" as const),
  id: fc.integer({ min: 0, max: 25 }).map((n) => `scan_${n}`),
  code,
  messages: fc.integer({ min: 0, max: 9 }),
});
/** Touches that are judged again, each once, whatever they were: known or not, of this or another world. */
export const revision = fc.uniqueArray(
  fc.record({
    kind: fc.constant("revise" as const),
    id: fc.integer({ min: 0, max: 25 }).map((n) => `scan_${n}`),
    code,
    reason: fc.constantFrom("", "", "isbot", "rate", undefined, undefined),
    device: fc.oneof(
      fc.constantFrom(undefined, undefined, ""),
      fc.integer({ min: 1, max: 17 }).map((n) => `d${n}`),
    ),
    test: fc.constantFrom(false, false, false, true),
  }),
  { selector: ({ id }) => id, minLength: 1, maxLength: 12 },
);
export const entry: fc.Arbitrary<Event[]> = fc.oneof(
  { weight: 4, arbitrary: fc.array(scan, { minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: talk.map((event) => [event]) },
  { weight: 2, arbitrary: revision },
);

/** One entry of the log: scans of one code, or one update of a conversation. */
export function toEntry(events: readonly Event[], position: number): LogEntry {
  const first = events[0] as Event;
  const common = { position, partition: partitionOf(first.code), appendedAt: NOW };
  if (first.kind === "talk") {
    const message = { workspaceId: WORKSPACE, scanId: first.id, codeId: first.code, messages: first.messages };
    return {
      ...common,
      subject: "conversations.updated",
      payload: toBinary(ConversationUpdatedSchema, create(ConversationUpdatedSchema, message)),
    };
  }
  if (first.kind === "revise") {
    const message = {
      ...{ workspaceId: WORKSPACE, test: first.test, rules: "2", revisedAt: timestampFromMs(NOW) },
      revisions: events
        .filter((event) => event.kind === "revise")
        .map(({ id, reason, device }) => ({
          ...{ touchId: id, codeId: first.code, verdictReason: reason ?? "" },
          verdict: reason === undefined ? Verdict.UNSPECIFIED : reason === "" ? Verdict.HUMAN : Verdict.BOT,
          ...(device !== undefined && { deviceId: device }),
        })),
    };
    return {
      ...common,
      subject: "touches.revised",
      payload: toBinary(TouchesRevisedSchema, create(TouchesRevisedSchema, message)),
    };
  }
  const touches = events
    .filter((event) => event.kind === "scan")
    .map((event) =>
      create(TouchSchema, {
        id: event.id,
        workspaceId: WORKSPACE,
        purpose: event.purpose,
        codeId: first.code,
        scannedAt: timestampFromMs(event.at),
        verdict: event.reason === "" ? Verdict.HUMAN : Verdict.BOT,
        verdictReason: event.reason,
        place: { country: event.country },
        deviceId: event.device,
        conversationStarted: event.started,
        conversationMessages: event.messages,
        test: event.test,
      }),
    );
  const batch = create(TouchBatchSchema, { touches, recordedAt: timestampFromMs(arrivedAt(position)) });
  return { ...common, subject: "touches.marketing", payload: toBinary(TouchBatchSchema, batch) };
}

/** When the entry of a position arrived. */
export function arrivedAt(position: number): number {
  return NOW - (position % 3) * 3_600_000;
}

const stores: Store[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
});

export function newStore(): Store {
  const store = openSqliteStore({ path: ":memory:", models: scansModels });
  stores.push(store);
  return store;
}

/** A store that breaks after so many writes, as a process that dies does when the engine has no transactions. */
export function breaking(store: Store, after: number): Store {
  let left = after;
  const tick = () => {
    left -= 1;
    if (left < 0) throw new Error("the process has died");
  };
  return {
    ...store,
    collection: (model) => ({
      of: (workspace) => {
        const collection = store.collection(model).of(workspace);
        const bulk: typeof collection.bulk = async (writes) => {
          const outcomes = [];
          for (const write of writes) {
            tick();
            outcomes.push(...(await collection.bulk([write])));
          }
          return outcomes;
        };
        return { ...collection, bulk };
      },
    }),
  };
}
