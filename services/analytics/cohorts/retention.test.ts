import { afterAll, beforeAll, expect, it } from "vitest";
import { CohortInterval, CohortService } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import * as crowd from "../test-crowd.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const DAY = 86_400_000;
const ZONE = "Europe/Berlin";
const api = () => ground.client(CohortService);

type Interval = "day" | "week" | "month";
type Person = readonly crowd.Hit[];

const questions: { interval: Interval; of: CohortInterval; periods: number; start: number; end: number }[] = [
  { interval: "day", of: CohortInterval.DAY, periods: 40, start: NOW - 35 * DAY, end: NOW },
  { interval: "week", of: CohortInterval.WEEK, periods: 3, start: NOW - 70 * DAY, end: NOW - 3 * DAY },
  // The last millisecond of October in Berlin: the month is over.
  { interval: "month", of: CohortInterval.MONTH, periods: 12, start: 0, end: Date.parse("2026-10-31T23:00:00Z") - 1 },
];

const startOf = (at: number, interval: Interval): Temporal.PlainDate => crowd.intervalOf(at, interval, ZONE);
const compare = Temporal.PlainDate.compare;

function curveOf(people: readonly Person[], { interval, periods, end }: (typeof questions)[number]) {
  const curve = [];
  for (let offset = 0; offset <= periods; offset += 1) {
    const of = (person: Person) => crowd.later(startOf(person[0]?.at ?? 0, interval), interval, offset);
    const over = people.filter((person) => compare(of(person), startOf(end + 1, interval)) < 0);
    if (over.length === 0) break;
    const came = over.filter((person) => person.some(({ at }) => startOf(at, interval).equals(of(person)))).length;
    const rolling = over.filter((person) => person.some(({ at }) => compare(startOf(at, interval), of(person)) >= 0));
    const rates = { rate: crowd.percent(came, over.length), rollingRate: crowd.percent(rolling.length, over.length) };
    curve.push({ offset, eligible: over.length, visitors: came, rollingVisitors: rolling.length, ...rates });
  }
  return curve;
}

function stickinessOf(hits: readonly crowd.Hit[], { start, end }: (typeof questions)[number]) {
  const after = startOf(end + 1, "day");
  const day = (n: number) => after.subtract({ days: n });
  const begins = (date: Temporal.PlainDate) => date.toZonedDateTime({ timeZone: ZONE }).epochMilliseconds;
  const days = Array.from({ length: 30 }, (_, n) => day(n + 1)).filter((date) => begins(date) >= start);
  const on = (date: Temporal.PlainDate) => hits.filter(({ at }) => startOf(at, "day").equals(date));
  const visitors = new Set(days.flatMap(on).map(({ visitor }) => visitor)).size;
  const visits = days.reduce((sum, date) => sum + new Set(on(date).map(({ visitor }) => visitor)).size, 0);
  const averageDailyVisitors = days.length === 0 ? 0 : crowd.round2(visits / days.length);
  const percentage = days.length === 0 ? 0 : crowd.percent(visits / days.length, visitors);
  return { days: days.length, visitors, averageDailyVisitors, percentage };
}

it("is that of plain code: the curve, how often and after how long visitors come, and how many of them on a day", async () => {
  const check = async ({ known, by }: crowd.Crowd) => {
    for (const asked of questions) {
      const { of: interval, periods, start, end } = asked;
      const range = { startDate: crowd.ms(start), endDate: crowd.ms(end) };
      const answer = await api().analyzeRetention({ interval, periods, timezone: ZONE, ...range }, by);
      const seen = known.filter(({ at }) => at <= end);
      const people = crowd.byVisitor(seen).filter((person) => (person[0]?.at ?? 0) >= start);
      expect(answer.curve.map(({ $typeName: _, ...point }) => point)).toEqual(curveOf(people, asked));
      const scans = people.flat().length;
      expect([answer.visitors, answer.scans]).toEqual([people.length, scans]);
      expect(answer.scansPerVisitor).toBe(people.length === 0 ? 0 : crowd.round2(scans / people.length));
      const often = Map.groupBy(people, (person) => Math.min(20, person.length));
      expect(answer.frequency.map((one) => [one.scans, one.orMore, one.visitors])).toEqual(
        [...often].toSorted(([a], [b]) => a - b).map(([n, some]) => [n, n === 20, some.length]),
      );
      const gaps = people.flatMap((person) => person.slice(1).map(({ at }, n) => at - (person[n]?.at ?? 0)));
      const seconds = (value: number | undefined) => (value === undefined ? undefined : value / 1_000);
      const { count, medianSeconds, p90Seconds } = answer.gaps ?? {};
      const wanted = [50, 90].map((share) => seconds(crowd.percentile(gaps, share)));
      expect([count, medianSeconds, p90Seconds]).toEqual([gaps.length, ...wanted]);
      const back = people.flatMap(([first, second]) => (first && second ? [second.at - first.at] : []));
      const median = crowd.percentile(back, 50);
      expect(answer.medianDaysToReturn).toBe(median === undefined ? undefined : crowd.round2(median / DAY));
      expect([answer.returningVisitors, answer.returningRate]).toEqual([
        back.length,
        crowd.percent(back.length, people.length),
      ]);
      expect(answer.stickiness).toMatchObject(stickinessOf(seen, asked));
    }
  };
  await crowd.overCrowds(ground, { numRuns: 8, check });
}, 60_000);

it("shows a development key test data of the last 30 days, and no other", async () => {
  const workspace = "tested";
  const touch = (id: string, days: number, test: boolean) =>
    touchOf({ id, workspaceId: workspace, deviceId: id, at: NOW - days * DAY, test });
  await ground.append([touch("real", 3, false), touch("new", 3, true), touch("old", 40, true)]);
  await ground.settle();
  const visitors = async (who: object) =>
    (await api().analyzeRetention({ explain: true }, ground.by({ workspace, ...who }))).visitors;
  expect(await visitors({ keyClass: "development", test: true })).toBe(1);
  expect(await visitors({})).toBe(1);
  const { explanation } = await api().analyzeRetention(
    { explain: true },
    ground.by({ workspace, keyClass: "development", test: true }),
  );
  expect(explanation?.shownFromReason).toBe("KEY_CLASS");
});
