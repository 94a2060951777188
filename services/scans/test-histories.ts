import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { afterEach, expect } from "vitest";
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
import { readAnalytics } from "./analytics-reader.ts";
import { readBooks } from "./ledger.ts";
import { scansModels } from "./model.ts";
import { countScans } from "./totals.ts";

const WORKSPACE = "ws";
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
      bot: boolean;
      messages: number;
      started: boolean;
      test: boolean;
      purpose: Purpose;
    }
  | { kind: "talk"; id: string; code: string; messages: number };
type Scan = Extract<Event, { kind: "scan" }>;

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
  bot: fc.constantFrom(false, false, true),
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
export const entry = fc.oneof(
  { weight: 4, arbitrary: fc.array(scan, { minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: talk.map((event) => [event]) },
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
  const touches = events
    .filter((event) => event.kind === "scan")
    .map((event) =>
      create(TouchSchema, {
        id: event.id,
        workspaceId: WORKSPACE,
        purpose: event.purpose,
        codeId: first.code,
        scannedAt: timestampFromMs(event.at),
        verdict: event.bot ? Verdict.BOT : Verdict.HUMAN,
        verdictReason: event.bot ? "isbot" : "",
        place: { country: event.country },
        deviceId: event.device,
        conversationStarted: event.started,
        conversationMessages: event.messages,
        test: event.test,
      }),
    );
  const batch = create(TouchBatchSchema, { touches, recordedAt: timestampFromMs(NOW - (position % 3) * 3_600_000) });
  return { ...common, subject: "touches.marketing", payload: toBinary(TouchBatchSchema, batch) };
}

/** What a person with a pencil would find: the first scan of each id, with its conversation at the end. */
function byHand(history: readonly (readonly Event[])[]): Scan[] {
  const scans = new Map<string, Scan>();
  for (const events of history) {
    const first = events[0] as Event;
    for (const event of events) {
      const known = scans.get(event.id);
      if (event.kind === "scan") {
        if (known === undefined)
          scans.set(event.id, { ...event, code: first.code, started: event.started || event.messages > 0 });
      } else if (known !== undefined) {
        known.started = true;
        known.messages = Math.max(known.messages, event.messages);
      }
    }
  }
  return [...scans.values()];
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

const localDate = (at: number, zone: string) => new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(at);
const clean = (event: Scan) => event.purpose === Purpose.MARKETING && !event.test && !event.bot;

async function expectAnalytics(store: Store, scans: readonly Scan[], zone: string): Promise<void> {
  for (const codeId of ["qpr_a", "qpr_b"]) {
    for (const days of [7, 30, 90, undefined]) {
      const question = { days, granularity: "day" as const, zone, now: NOW, floorDays: undefined };
      const found = await readAnalytics(store, { workspace: WORKSPACE, wall: "m", codeId }, question);
      const all = scans.filter((event) => clean(event) && event.code === codeId);
      if (days === undefined && all.length === 0) {
        expect(found).toBeUndefined();
        continue;
      }
      const labels = found?.period.buckets.labels ?? [];
      const mine = all.filter((event) => localDate(event.at, zone) >= (labels[0] as string));
      expect(found?.numbers).toMatchObject({
        scans: mine.length,
        devices: new Set(mine.map(({ device }) => device).filter((device) => device !== "")).size,
        conversations: mine.filter(({ started }) => started).length,
        messages: mine.reduce((sum, { messages }) => sum + messages, 0),
      });
      const today = labels.at(-1) as string;
      for (const [index, label] of labels.entries()) {
        const inBucket = mine.filter(
          ({ at }) => localDate(at, zone) === label || (label === today && localDate(at, zone) > today),
        );
        expect(found?.numbers.series[index]).toEqual({
          scans: inBucket.length,
          conversations: inBucket.filter(({ started }) => started).length,
        });
      }
      if (days !== undefined) expect(labels.length).toBe(days);
      const countries = new Map<string, number>();
      for (const { country } of mine) countries.set(country, (countries.get(country) ?? 0) + 1);
      expect(found?.countries).toEqual(countries);
    }
  }
}

async function expectTotals(store: Store, scans: readonly Scan[]): Promise<void> {
  const selection = { workspace: WORKSPACE, wall: "m", codeId: undefined, includeBots: false };
  const people = scans.filter(clean);
  expect(await countScans(store, { ...selection, from: undefined, until: undefined })).toBe(people.length);
  for (const [from, until] of [
    [NOW - 3 * DAY + 1, NOW - DAY],
    [NOW - 50 * DAY, undefined],
    [undefined, NOW - 1000],
    [NOW - 100, NOW],
  ] as const) {
    const mine = people.filter(({ at }) => at >= (from ?? 0) && at < (until ?? Number.POSITIVE_INFINITY));
    expect(await countScans(store, { ...selection, from, until })).toBe(mine.length);
    const ofCode = mine.filter((event) => event.code === "qpr_a").length;
    expect(await countScans(store, { ...selection, codeId: "qpr_a", from, until })).toBe(ofCode);
  }
  const withBots = scans.filter((event) => event.purpose === Purpose.MARKETING && !event.test);
  expect(await countScans(store, { ...selection, from: undefined, until: undefined, includeBots: true })).toBe(
    withBots.length,
  );
}

async function expectBooks(
  store: Store,
  history: readonly (readonly Event[])[],
  entries: readonly LogEntry[],
): Promise<void> {
  const seen = new Set<string>();
  const fates = { accepted: 0, counted: 0, filtered: 0, duplicate: 0 };
  for (const event of history.flat()) {
    if (event.kind !== "scan") continue;
    const fate = seen.has(event.id) ? "duplicate" : event.bot ? "filtered" : "counted";
    seen.add(event.id);
    if (event.test) continue;
    fates.accepted += 1;
    fates[fate] += 1;
  }
  const log = { read: async function* () {} };
  const { hours } = await readBooks({ store, log }, { workspace: WORKSPACE, test: false, from: 0, to: NOW + DAY });
  const sum = { accepted: 0, counted: 0, filtered: 0, duplicate: 0 };
  for (const books of hours.values()) {
    expect(books.accepted).toBe(books.counted + (books.filtered.isbot ?? 0) + books.duplicate);
    sum.accepted += books.accepted;
    sum.counted += books.counted;
    sum.filtered += books.filtered.isbot ?? 0;
    sum.duplicate += books.duplicate;
  }
  expect(sum).toEqual(fates);
  expect(entries.length).toBe(history.length);
}

export async function expectAll(
  store: Store,
  history: readonly (readonly Event[])[],
  { zone, entries }: { zone: string; entries: readonly LogEntry[] },
) {
  const scans = byHand(history);
  await expectAnalytics(store, scans, zone);
  await expectTotals(store, scans);
  await expectBooks(store, history, entries);
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
