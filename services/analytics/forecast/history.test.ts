import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DAY_MS } from "../rules.ts";
import { completeness, readHistory, readWeekHours } from "./history.ts";
import { randomOf } from "./test-series.ts";
import { openTable, type PlainEvent, type Table } from "./test-table.ts";
import { dateOf } from "./zone.ts";

let table: Table;
beforeEach(async () => {
  table = await openTable();
});
afterEach(() => table.close());

const HOUR = 3_600_000;
const UNTIL = Date.parse("2026-11-05T10:20:00Z");

/** Events over four weeks around the end of daylight saving in Europe and America, some by programs, some of tests. */
function events(seed: number): PlainEvent[] {
  const random = randomOf(seed);
  return Array.from({ length: 600 }, (_, index) => ({
    id: `e${index}`,
    linkId: `link_${Math.floor(random() * 3)}`,
    device: random() < 0.1 ? undefined : `d${Math.floor(random() * 20)}`,
    at: UNTIL - Math.floor(random() * 28 * 24) * HOUR - (random() < 0.5 ? 0 : Math.floor(random() * HOUR)),
    human: random() < 0.9,
    test: random() < 0.1,
  }));
}

const seen = (all: readonly PlainEvent[]) => all.filter(({ human, test, at }) => human && !test && at < UNTIL);

const dayIn = (zone: string) => {
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" });
  return (at: number): string => format.format(at);
};

const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"];

describe("the history", () => {
  it.each(ZONES)(
    "in %s has each complete day with its events and visitors, as plain code counts them",
    async (zone) => {
      const all = events(3);
      await table.put(all);
      const dateIn = dayIn(zone);
      const byDay = Map.groupBy(seen(all), ({ at }) => dateIn(at));
      for (const metric of ["EVENTS", "UNIQUE_VISITORS"] as const) {
        const { firstDay, lastDay, values } = await readHistory(table.asking(), { zone, until: UNTIL, metric });
        const days = values.map((_, index) => dateOf(firstDay + index));
        expect(days.at(-1)).toBe(dateOf(lastDay));
        expect(dateOf(lastDay + 1)).toBe(dateIn(UNTIL));
        expect(days[0]).toBe([...byDay.keys()].toSorted()[0]);
        const wanted = days.map((day) => {
          const some = byDay.get(day) ?? [];
          if (metric === "EVENTS") return some.length;
          return new Set(some.flatMap(({ device }) => device ?? [])).size;
        });
        expect(values).toEqual(wanted);
      }
    },
  );

  it("of an hour after midnight ends with yesterday, and at midnight too", async () => {
    await table.put([{ id: "a", linkId: "l", at: Date.parse("2026-10-24T21:59:00Z") }]);
    const last = async (until: string) => {
      const asked = { zone: "Europe/Berlin", until: Date.parse(until), metric: "EVENTS" } as const;
      return dateOf((await readHistory(table.asking(), asked)).lastDay);
    };
    expect(await last("2026-10-25T22:59:59.999Z")).toBe("2026-10-24");
    expect(await last("2026-10-25T23:00:00Z")).toBe("2026-10-25");
  });

  it("leaves out a first day that is only seen in part, and what is older than 730 days", async () => {
    await table.put(
      [0, 1, 2, 3, 800].map((days) => ({ id: `e${days}`, linkId: "l", at: UNTIL - days * DAY_MS - HOUR })),
    );
    const asked = { zone: "UTC", until: UNTIL, metric: "EVENTS" } as const;
    expect((await readHistory(table.asking(), asked)).values).toEqual([1, 1, 1]);
    const floor = { sql: "scanned_at >= $floor", params: { floor: BigInt(UNTIL - 3 * DAY_MS - 2 * HOUR) } };
    expect((await readHistory(table.asking(floor), asked)).values).toEqual([1, 1]);
  });
});

it.each(ZONES)("the hours of the week in %s are as plain code counts them", async (zone) => {
  const all = events(5);
  await table.put(all);
  const from = UNTIL - 20 * DAY_MS;
  const hours = await readWeekHours(table.asking(), { zone, from, until: UNTIL });
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    weekday: "short",
    hour: "2-digit",
    hourCycle: "h23",
  });
  const hourOf = (at: number): number => {
    const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    return ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].indexOf(parts.weekday ?? "") * 24 + Number(parts.hour);
  };
  const counts = new Array<number>(168).fill(0);
  for (const { at } of seen(all)) if (at >= from) counts[hourOf(at)] = (counts[hourOf(at)] ?? 0) + 1;
  expect(hours.counts).toEqual(counts);
  const exposures = new Array<number>(168).fill(0);
  for (let at = hours.from; at < UNTIL; at += HOUR / 4) exposures[hourOf(at)] = (exposures[hourOf(at)] ?? 0) + 1 / 4;
  expect(hours.exposures).toEqual(exposures);
});

describe("the table is complete", () => {
  const entry = {
    position: 9,
    appendedAt: 500,
    partition: 0,
    subject: "touches.marketing" as const,
    payload: Buffer.alloc(0),
  };
  const logOf = (head: number, entries: (typeof entry)[]) => ({
    ...({} as Parameters<typeof completeness>[1]),
    head: () => Promise.resolve(head),
    async *read() {
      if (entries.length > 0) yield entries;
    },
  });

  it("until now when it has all of the log, or only what is not for it is missing", async () => {
    await table.run("UPDATE watermark SET position = 8, appended_at = 300");
    expect(await completeness(table, logOf(8, []), 1_000)).toEqual({ until: 1_000, position: 8 });
    expect(await completeness(table, logOf(12, []), 1_000)).toEqual({ until: 1_000, position: 8 });
  });

  it("until the first entry that it does not have", async () => {
    await table.run("UPDATE watermark SET position = 8, appended_at = 300");
    expect(await completeness(table, logOf(9, [entry]), 1_000)).toEqual({ until: 500, position: 8 });
  });
});
