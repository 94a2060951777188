import { expect } from "vitest";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogEntry } from "#runtime/log.ts";
import type { Store } from "#runtime/store.ts";
import { readAnalytics } from "./analytics-reader.ts";
import { readBooks } from "./ledger.ts";
import { arrivedAt, DAY, type Event, NOW, type Scan, WORKSPACE } from "./test-histories.ts";
import { countScans } from "./totals.ts";

/** What a person with a pencil would find: the first scan of each id, as it is judged and how its conversation is at the end. */
function byHand(history: readonly (readonly Event[])[]): Scan[] {
  const scans = new Map<string, Scan>();
  for (const events of history) {
    const first = events[0] as Event;
    for (const event of events) {
      const known = scans.get(event.id);
      if (event.kind === "scan") {
        if (known === undefined)
          scans.set(event.id, { ...event, code: first.code, started: event.started || event.messages > 0 });
      } else if (event.kind === "revise") {
        // One entry is of one world: that of its first event.
        const { test } = first as Extract<Event, { kind: "revise" }>;
        if (known?.purpose !== Purpose.MARKETING || known.test !== test) continue;
        known.reason = event.reason ?? known.reason;
        known.device = event.device ?? known.device;
      } else if (known !== undefined) {
        known.started = true;
        known.messages = Math.max(known.messages, event.messages);
      }
    }
  }
  return [...scans.values()];
}

const localDate = (at: number, zone: string) => new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(at);
const clean = (event: Scan) => event.purpose === Purpose.MARKETING && !event.test && event.reason === "";

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

async function expectFiltered(store: Store, scans: readonly Scan[], zone: string): Promise<void> {
  for (const codeId of ["qpr_a", "qpr_b"]) {
    const question = { days: 400, granularity: "day" as const, zone, now: NOW, floorDays: undefined };
    const found = await readAnalytics(store, { workspace: WORKSPACE, wall: "m", codeId }, question);
    const expected: Record<string, number> = {};
    for (const { reason, code: own, purpose, test } of scans)
      if (reason !== "" && own === codeId && purpose === Purpose.MARKETING && !test)
        expected[reason] = (expected[reason] ?? 0) + 1;
    expect(found?.numbers.filtered).toEqual(expected);
  }
}

/** The books of each hour of arrival: a touch that is judged again stays in its own. */
async function expectBooks(
  store: Store,
  history: readonly (readonly Event[])[],
  { scans, entries }: { scans: readonly Scan[]; entries: readonly LogEntry[] },
): Promise<void> {
  const judged = new Map(scans.map(({ id, reason }) => [id, reason]));
  const expected = new Map<number, Record<string, number>>();
  const seen = new Set<string>();
  for (const [index, events] of history.entries()) {
    for (const event of events) {
      if (event.kind !== "scan") continue;
      const reason = judged.get(event.id) || "counted";
      const fate = seen.has(event.id) ? "duplicate" : reason;
      seen.add(event.id);
      if (event.test) continue;
      const hour = Math.floor(arrivedAt(entries[index]?.position ?? 0) / 3_600_000) * 3_600_000;
      const books = expected.get(hour) ?? {};
      expected.set(hour, books);
      for (const name of ["accepted", fate]) books[name] = (books[name] ?? 0) + 1;
    }
  }
  const log = { read: async function* () {} };
  const { hours } = await readBooks({ store, log }, { workspace: WORKSPACE, test: false, from: 0, to: NOW + DAY });
  const found = [...hours].map(([hour, { accepted, counted, filtered, duplicate }]) => {
    const all = { accepted, counted, duplicate, ...filtered };
    return [hour, Object.fromEntries(Object.entries(all).filter(([, number]) => number !== 0))] as const;
  });
  expect(new Map(found)).toEqual(expected);
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
  await expectFiltered(store, scans, zone);
  await expectBooks(store, history, { scans, entries });
}
