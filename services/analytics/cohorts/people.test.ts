import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AttributionService, ConversionCounting } from "#gen/waymark/analytics/v1/attribution_pb.ts";
import { CohortInterval, CohortKind, CohortService } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import { JourneyService } from "#gen/waymark/analytics/v1/journeys_pb.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const DAY = 86_400_000;
const MINUTE = 60_000;
const FROM = NOW - 90 * DAY;
const range = { startDate: timestampFromMs(FROM), endDate: timestampFromMs(NOW) };

/** An event as plain code sees it, in the order of arrival. */
interface Seen {
  device: string;
  link: string;
  at: number;
  messages: number;
}

/** Few devices and links, times close together and far apart, equal ones too. */
const event: fc.Arbitrary<Seen> = fc.record({
  device: fc.constantFrom("a", "b", "c", ""),
  link: fc.constantFrom("link_1", "link_2", "link_3"),
  at: fc.oneof(
    fc.integer({ min: 0, max: 60 * 24 * 4 }).map((n) => NOW - 10 * DAY + n * 25 * MINUTE),
    fc.integer({ min: 0, max: 89 }).map((n) => NOW - n * DAY - 1),
  ),
  messages: fc.constantFrom(0, 0, 0, 2),
});

let run = 0;

async function overHistories(
  check: (events: Seen[], by: ReturnType<AnalyticsGround["by"]>) => Promise<void>,
): Promise<void> {
  const property = fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 30 }), async (all) => {
    const events = all.filter(({ at }) => at <= NOW);
    run += 1;
    const workspace = `crowd${run}`;
    const touches = events.map(({ device, link, at, messages }, n) =>
      touchOf({
        id: `p${n}`,
        workspaceId: workspace,
        deviceId: device,
        codeId: link,
        at,
        conversationMessages: messages,
      }),
    );
    if (touches.length > 0) await ground.append(touches);
    await ground.settle();
    const ordered = events.map((one, n) => ({ one, n })).sort((x, y) => x.one.at - y.one.at || x.n - y.n);
    await check(
      ordered.map(({ one }) => one).filter(({ device }) => device !== ""),
      ground.by({ workspace }),
    );
  });
  await fc.assert(property, { numRuns: 12, endOnFailure: true, interruptAfterTimeLimit: 25_000 });
}

const byDevice = (events: readonly Seen[]) => [...Map.groupBy(events, ({ device }) => device).values()];
const dayOf = (at: number) => Math.floor(at / DAY);
const monthOf = (at: number) => new Date(at).getUTCFullYear() * 12 + new Date(at).getUTCMonth();
const round2 = (n: number) => Math.round(n * 100) / 100;

it("monthly cohorts are those of plain code", async () => {
  await overHistories(async (events, by) => {
    const request = { kind: CohortKind.TIME, interval: CohortInterval.MONTH, timezone: "UTC", periods: 4, ...range };
    const { cohorts, visitors } = await ground.client(CohortService).analyzeCohorts(request, by);
    const people = byDevice(events);
    expect(visitors).toBe(people.length);
    const wanted = Map.groupBy(people, (mine) => monthOf(mine[0]?.at ?? 0));
    expect(
      cohorts
        .map(({ size }) => size)
        .filter((size) => size > 0)
        .sort(),
    ).toEqual([...wanted.values()].map((some) => some.length).sort());
    for (const { cohort, periods } of cohorts) {
      const [year = 0, month = 1] = cohort.split("-").map(Number);
      const first = year * 12 + month - 1;
      const members = wanted.get(first) ?? [];
      for (const { offset, visitors: came, scans } of periods) {
        const hits = members.map((mine) => mine.filter(({ at }) => monthOf(at) === first + offset));
        expect([came, scans]).toEqual([hits.filter((mine) => mine.length > 0).length, hits.flat().length]);
      }
    }
  });
});

it("day-N retention counts only whom the day is over for", async () => {
  await overHistories(async (events, by) => {
    const request = { interval: CohortInterval.DAY, timezone: "UTC", ...range };
    const { curve, visitors, scans, returningVisitors } = await ground
      .client(CohortService)
      .analyzeRetention(request, by);
    const people = byDevice(events);
    expect([visitors, scans]).toEqual([people.length, events.length]);
    expect(returningVisitors).toBe(people.filter((mine) => mine.length > 1).length);
    const lastWhole = dayOf(NOW) - 1;
    for (const { offset, eligible, visitors: came, rollingVisitors } of curve) {
      const over = people.filter((mine) => dayOf(mine[0]?.at ?? 0) + offset <= lastWhole);
      const first = (mine: readonly Seen[]) => dayOf(mine[0]?.at ?? 0);
      expect([offset, eligible]).toEqual([offset, over.length]);
      expect(came).toBe(over.filter((mine) => mine.some(({ at }) => dayOf(at) === first(mine) + offset)).length);
      expect(rollingVisitors).toBe(
        over.filter((mine) => mine.some(({ at }) => dayOf(at) >= first(mine) + offset)).length,
      );
    }
  });
});

it("credits of conversions are shared as plain code shares them, and add up", async () => {
  await overHistories(async (events, by) => {
    const conversion = { goal: { case: "conversation" as const, value: true } };
    const request = { conversion, counting: ConversionCounting.EVERY, lookbackDays: 7, ...range };
    const answer = await ground.client(AttributionService).analyzeAttribution(request, by);
    const wanted = new Map<string, Record<string, number>>();
    const give = (link: string, model: string, part: number): void => {
      const credits = wanted.get(link) ?? {};
      credits[model] = (credits[model] ?? 0) + part;
      wanted.set(link, credits);
    };
    let conversions = 0;
    for (const mine of byDevice(events))
      for (const [index, { at, messages }] of mine.entries()) {
        if (messages === 0) continue;
        conversions += 1;
        const touches = mine.slice(0, index + 1).filter((one) => one.at >= at - 7 * DAY);
        const n = touches.length;
        for (const [nth, { link }] of touches.entries()) {
          if (nth === 0) give(link, "FIRST", 1);
          if (nth === n - 1) give(link, "LAST", 1);
          give(link, "LINEAR", 1 / n);
          const edge = n === 1 ? 1 : n === 2 ? 0.5 : nth === 0 || nth === n - 1 ? 0.4 : 0.2 / (n - 2);
          give(link, "POSITION", edge);
        }
      }
    expect(answer.conversions).toBe(conversions);
    for (const { id, credit } of answer.rows)
      for (const [model, part] of Object.entries(wanted.get(id) ?? {})) expect(credit[model]).toBeCloseTo(part, 4);
    for (const model of ["FIRST", "LAST", "LINEAR", "TIME_DECAY", "POSITION"]) {
      const sum = answer.rows.reduce(
        (all, { credit }) => all + (credit[model] ?? 0),
        answer.rows.some(({ id }) => id === "") ? 0 : answer.direct,
      );
      expect(sum).toBeCloseTo(conversions, 4);
    }
  });
});

it("journeys are the paths of plain code, from session to session", async () => {
  await overHistories(async (events, by) => {
    const answer = await ground
      .client(JourneyService)
      .analyzeJourneys({ depth: 3, limit: 100, inactivityMinutes: 30, ...range }, by);
    const paths: string[][] = [];
    for (const mine of byDevice(events)) {
      let last = Number.NEGATIVE_INFINITY;
      for (const { at, link } of mine) {
        if (at - last > 30 * MINUTE) paths.push([link]);
        else if (paths.at(-1)?.at(-1) !== link) paths.at(-1)?.push(link);
        last = at;
      }
    }
    expect([answer.journeys, answer.steps]).toEqual([paths.length, paths.flat().length]);
    const counts = Map.groupBy(paths, (path) => path.slice(0, 3).join(">"));
    expect(answer.paths.map(({ steps, journeys }) => `${steps.join(">")} ${journeys}`).sort()).toEqual(
      [...counts].map(([path, some]) => `${path} ${some.length}`).sort(),
    );
    const hops = paths.flatMap((path) => path.slice(1).map((to, n) => `${path[n]}>${to}`));
    const wanted = Map.groupBy(hops, (hop) => hop);
    expect(answer.transitions.map(({ from, to, count }) => `${from}>${to} ${count}`).sort()).toEqual(
      [...wanted].map(([hop, some]) => `${hop} ${some.length}`).sort(),
    );
    for (const { step, reached, dropped } of answer.dropOff) {
      expect(reached).toBe(paths.filter((path) => path.length >= step).length);
      expect(dropped).toBe(paths.filter((path) => path.length === step).length);
    }
    for (const { percentage, journeys } of answer.paths)
      expect(percentage).toBe(round2((100 * journeys) / paths.length));
  });
});

it("what cannot be asked is refused by name, and the answer can be explained", async () => {
  const by = ground.by({ workspace: "crowd1" });
  const refused = (call: Promise<unknown>) =>
    call.then(
      () => "answered",
      (error: ConnectError) => [error.code, fieldOf(error)],
    );
  const reversed = { startDate: range.endDate, endDate: range.startDate };
  const cohorts = ground.client(CohortService);
  expect(await refused(cohorts.analyzeCohorts(reversed, by))).toEqual([Code.InvalidArgument, "end_date"]);
  expect(await refused(cohorts.analyzeCohorts({ timezone: "Moon" }, by))).toEqual([Code.InvalidArgument, "timezone"]);
  expect(await refused(cohorts.analyzeCohorts({ periods: 900 }, by))).toEqual([Code.InvalidArgument, "periods"]);
  const conversion = { goal: { case: "conversation" as const, value: false } };
  expect(await refused(ground.client(AttributionService).analyzeAttribution({ conversion }, by))).toEqual([
    Code.InvalidArgument,
    "conversion.conversation",
  ]);
  expect(await refused(ground.client(JourneyService).analyzeJourneys({ depth: 90 }, by))).toEqual([
    Code.InvalidArgument,
    "depth",
  ]);
  const { explanation } = await cohorts.analyzeCohorts({ explain: true, ...range }, by);
  expect(explanation?.completeUntil && timestampMs(explanation.completeUntil)).toBeGreaterThan(0);
});
