import { describe, expect, it } from "vitest";
import { bestTimes } from "./best-time.ts";
import { poisson, randomOf } from "./test-series.ts";

const WEEKS = 12;
const hours = (of: (weekday: number, hour: number) => number) =>
  Array.from({ length: 168 }, (_, at) => of(Math.floor(at / 24) + 1, at % 24));
const even = hours(() => WEEKS);

describe("best times", () => {
  it("of counts that are weekday × time of day are those counts", () => {
    const counts = hours((weekday, hour) => weekday * (hour + 1));
    const { slots, priorWeeks } = bestTimes(counts, even);
    const sum = counts.reduce((all, count) => all + count, 0);
    expect(priorWeeks).toBe(1_000);
    for (const { weekday, hour, share, index, low, high, eventCount } of slots) {
      expect(share).toBeCloseTo((100 * weekday * (hour + 1)) / sum, 9);
      expect(index).toBeCloseTo((share / 100) * 168, 9);
      expect(eventCount).toBe(weekday * (hour + 1));
      expect([low < share, share < high, low >= 0]).toEqual([true, true, true]);
    }
    expect(slots[0]).toMatchObject({ weekday: 7, hour: 23 });
    expect(slots.reduce((all, { share }) => all + share, 0)).toBeCloseTo(100, 9);
  });

  it("draw an hour that was lucky once towards its weekday and time of day", () => {
    const random = randomOf(4);
    const counts = hours(() => poisson(2, random));
    counts[50] = 9;
    const { slots } = bestTimes(counts, even);
    const lucky = slots.find(({ weekday, hour }) => weekday === 3 && hour === 2);
    expect(lucky?.index).toBeLessThan(9 / 2 / 1.3);
    expect(lucky?.index).toBeGreaterThan(1);
  });

  it("find an hour that stands out for good", () => {
    const random = randomOf(8);
    const counts = hours((weekday, hour) => poisson(WEEKS * (weekday === 5 && hour === 17 ? 12 : 1), random));
    const { slots, priorWeeks } = bestTimes(counts, even);
    expect(slots[0]).toMatchObject({ weekday: 5, hour: 17 });
    expect(slots[0]?.low).toBeGreaterThan(slots[1]?.high as number);
    expect(priorWeeks).toBeLessThan(WEEKS);
  });

  it("count an hour by how often it was there", () => {
    const exposures = hours((weekday) => (weekday === 7 ? WEEKS / 2 : WEEKS));
    const counts = hours((weekday) => (weekday === 7 ? 10 : 20));
    const { slots } = bestTimes(counts, exposures);
    for (const { index } of slots) expect(index).toBeCloseTo(1, 9);
  });

  it("of nothing are nothing", () => {
    const { slots } = bestTimes(
      hours(() => 0),
      hours(() => 0),
    );
    expect(slots.every(({ share, index }) => share === 0 && index === 0)).toBe(true);
  });
});
