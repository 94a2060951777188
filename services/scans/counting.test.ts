import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Store } from "#runtime/store.ts";
import { scansProjection } from "./project.ts";
import { breaking, DAY, type Event, entry, NOW, newStore, toEntry, zones } from "./test-histories.ts";
import { expectAll } from "./test-sums.ts";

/** Going through all by hand takes its time, and the machine may be busy. */
const LONG = { timeout: 120_000 };

describe("the projection of scans", () => {
  const deps = (store: Store) => ({ store, now: () => NOW });

  it("counts exactly in any chunks, with late, repeated and future scans, in any time zone", LONG, async () => {
    const property = fc.asyncProperty(
      fc.array(entry, { minLength: 1, maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      fc.constantFrom(...zones),
      async (history, chunks, zone) => {
        const store = newStore();
        const entries = history.map((events, index) => toEntry(events, index + 1));
        for (let at = 0, turn = 0; at < entries.length; turn += 1) {
          const size = chunks[turn % chunks.length] as number;
          await store.batch(() => scansProjection.project(entries.slice(at, at + size), deps(store)));
          at += size;
        }
        await expectAll(store, history, { zone, entries });
      },
    );
    await fc.assert(property, { numRuns: 40 });
  });

  it("counts a conversation whose scan was updated and whose counters were not when the process died", async () => {
    const store = newStore();
    const scanned = {
      kind: "scan",
      id: "scan_1",
      code: "qpr_a",
      device: "",
      at: NOW - DAY,
      country: "US",
      reason: "",
    } as const;
    const history: Event[][] = [
      [{ ...scanned, messages: 0, started: false, test: false, purpose: Purpose.MARKETING }],
      [{ kind: "talk", id: "scan_1", code: "qpr_a", messages: 4 }],
    ];
    const entries = history.map((events, index) => toEntry(events, index + 1));
    await scansProjection.project(entries.slice(0, 1), deps(store));
    await expect(scansProjection.project(entries.slice(1), deps(breaking(store, 1)))).rejects.toThrow("has died");
    await scansProjection.project(entries.slice(1), deps(store));
    await expectAll(store, history, { zone: "UTC", entries });
  });

  it("keeps a device where its last scan was when an earlier one comes late", async () => {
    const store = newStore();
    const midnight = Math.floor(NOW / DAY - 6) * DAY;
    const scan = {
      kind: "scan",
      code: "qpr_a",
      device: "d1",
      country: "US",
      reason: "",
      messages: 0,
      started: false,
    } as const;
    const history: Event[][] = [midnight, midnight - 1].map((at, index) => [
      { ...scan, id: `scan_${index}`, at, test: false, purpose: Purpose.MARKETING },
    ]);
    const entries = history.map((events, index) => toEntry(events, index + 1));
    for (const one of entries) await scansProjection.project([one], deps(store));
    await expectAll(store, history, { zone: "UTC", entries });
  });

  it("counts exactly after dying between any two writes of an entry", LONG, async () => {
    const property = fc.asyncProperty(
      fc.array(entry, { minLength: 4, maxLength: 16 }),
      fc.array(fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 25 })), {
        minLength: 1,
        maxLength: 6,
      }),
      async (history, deaths) => {
        const store = newStore();
        const entries = history.map((events, index) => toEntry(events, index + 1));
        for (const [index, one] of entries.entries()) {
          const death = deaths[index % deaths.length] as number;
          await scansProjection.project([one], deps(breaking(store, death))).catch(() => undefined);
          await scansProjection.project([one], deps(store));
        }
        await expectAll(store, history, { zone: "UTC", entries });
      },
    );
    await fc.assert(property, { numRuns: 40 });
  });
});
