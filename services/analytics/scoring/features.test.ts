import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ConversionKind } from "#gen/waymark/analytics/v1/filter_pb.ts";
import { deviceKey } from "../device-key.ts";
import { openTable, type PlainEvent, type Table } from "../forecast/test-table.ts";
import { type Goal, goalIn } from "./conversions.ts";
import { FEATURES, readFeatures, readSample, transformed } from "./features.ts";

let table: Table;
beforeAll(async () => {
  table = await openTable();
  await table.run("INSERT INTO links (workspace, test, link_id, tags) VALUES ('acme', false, 'b', ['goal'])");
  await table.run(
    `INSERT INTO visitors (workspace, test, visitor_key, identified_at) VALUES ('acme', false, $d1, $at), ('other', false, $d2, $at)`,
    { d1: deviceKey("d1"), d2: deviceKey("d2"), at: BigInt(CUT + 20 * HOUR) },
  );
  await table.run(
    "INSERT INTO attributes (workspace, test, visitor_key, key, recorded_at) VALUES ('acme', false, $d2, 'plan', $at)",
    { d2: deviceKey("d2"), at: BigInt(CUT + 9 * HOUR) },
  );
});
afterAll(() => table.close());

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const CUT = Date.parse("2026-10-30T10:00:00Z");
const END = CUT + 2 * DAY;
const ZONE = "Europe/Berlin";

const event = fc.record({
  linkId: fc.constantFrom("a", "b", "c"),
  device: fc.constantFrom(undefined, "d1", "d2", "d3", "d4"),
  at: fc.integer({ min: -14 * 24, max: 4 * 24 }).map((hour) => CUT + hour * HOUR),
  human: fc.constantFrom(true, true, true, false),
  deviceType: fc.integer({ min: 0, max: 3 }),
  talked: fc.constantFrom(true, false, false, false, false),
});
const histories = fc
  .array(event, { minLength: 1, maxLength: 50 })
  .map((all): PlainEvent[] => all.map((one, index) => ({ ...one, id: `e${index}` })));

const local = new Intl.DateTimeFormat("en-CA", { timeZone: ZONE, dateStyle: "short" });
const isWeekend = (at: number) => [0, 6].includes(new Date(local.format(at)).getUTCDay());
const share = (all: readonly PlainEvent[], of: (one: PlainEvent) => boolean) => all.filter(of).length / all.length;

function plainFeatures(mine: readonly PlainEvent[]): Record<string, number> {
  const times = mine.map(({ at }) => at);
  const days = new Set(times.map((at) => local.format(at))).size;
  return {
    visits: mine.length,
    distinctLinks: new Set(mine.map(({ linkId }) => linkId)).size,
    activeDays: days,
    recencyDays: (CUT - Math.max(...times)) / DAY,
    tenureDays: (CUT - Math.min(...times)) / DAY,
    conversations: mine.filter(({ talked }) => talked).length,
    weekendShare: share(mine, ({ at }) => isWeekend(at)),
    mobileShare: share(mine, ({ deviceType }) => deviceType === 1),
    isReturning: days > 1 ? 1 : 0,
  };
}

/** When a device converted first, by plain code. */
function plainConversion(goal: Goal, device: string, mine: readonly PlainEvent[]): number {
  const times = (of: (one: PlainEvent) => boolean) => mine.filter(of).map(({ at }) => at);
  const identified = device === "d1" ? [CUT + 20 * HOUR] : [];
  const talks = times(({ talked = false }) => talked);
  switch (goal.case) {
    case "linkId":
      return Math.min(...times(({ linkId }) => linkId === goal.value));
    case "tag":
      return Math.min(...times(({ linkId }) => goal.value === "goal" && linkId === "b"));
    case "conversation":
      return Math.min(...talks);
    case "identified":
      return Math.min(...identified);
    case "attribute":
      return device === "d2" && goal.value === "plan" ? CUT + 9 * HOUR : Number.POSITIVE_INFINITY;
    default:
      return Math.min(...talks, ...identified);
  }
}

const GOALS: Goal[] = [
  { case: undefined },
  { case: "linkId", value: "c" },
  { case: "tag", value: "goal" },
  { case: "tag", value: "other" },
  { case: "conversation", value: true },
  { case: "identified", value: true },
  { case: "attribute", value: "plan" },
];

it("a sample has the features and labels that plain code counts, of all parts together each visitor once", async () => {
  const check = async (events: PlainEvent[]) => {
    await table.run("DELETE FROM events");
    await table.put(events);
    const asking = table.asking();
    const byDevice = Map.groupBy(
      events.filter(({ human, device }) => human && device !== undefined),
      ({ device = "" }) => device,
    );
    for (const goal of GOALS) {
      const window = { goal, cut: CUT, end: END, zone: ZONE };
      const wanted: number[][] = [];
      for (const [device, mine] of byDevice) {
        const [before, first] = [mine.filter(({ at }) => at <= CUT), plainConversion(goal, device, mine)];
        const found = await readFeatures(asking, window, deviceKey(device));
        if (before.length === 0) expect(found).toBe(undefined);
        else {
          const features = plainFeatures(before);
          const values = FEATURES.map(({ name }) => features[name] as number);
          expect(found?.hasConverted).toBe(first <= CUT);
          for (const [index, value] of values.entries()) expect(found?.values[index]).toBeCloseTo(value, 9);
          if (first > CUT) wanted.push([...transformed(values), first <= END ? 1 : 0]);
        }
      }
      const got: number[][] = [];
      for (const at of [0, 1, 2]) {
        const { width, values, labels } = await readSample(asking, window, { at, of: 3 });
        for (const [row, label] of labels.entries()) got.push([...values.slice(row * width, (row + 1) * width), label]);
      }
      const rounded = (rows: number[][]) => rows.map((row) => row.map((value) => value.toFixed(6)).join()).toSorted();
      expect(rounded(got)).toEqual(rounded(wanted));
    }
  };
  await fc.assert(fc.asyncProperty(histories, check), { numRuns: 8 });
}, 30_000);

describe("the goal of a request", () => {
  it("is its member, or its kind where that says all", () => {
    expect(goalIn(undefined)).toEqual({ case: undefined });
    expect(goalIn({ goal: { case: "tag", value: "x" }, kind: ConversionKind.UNSPECIFIED })).toEqual({
      case: "tag",
      value: "x",
    });
    expect(goalIn({ goal: { case: undefined }, kind: ConversionKind.IDENTIFIED })).toEqual({
      case: "identified",
      value: true,
    });
  });

  it("is refused when its kind does not fit, or when it is false", () => {
    expect(() => goalIn({ goal: { case: undefined }, kind: ConversionKind.LINK })).toThrow(/conversion\.kind/);
    expect(() => goalIn({ goal: { case: "tag", value: "x" }, kind: ConversionKind.LINK })).toThrow(/conversion\.kind/);
    expect(() => goalIn({ goal: { case: "conversation", value: false }, kind: 0 })).toThrow(/must be true/);
  });
});
