import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cohort, CohortInterval, CohortKind, CohortService } from "#gen/waymark/analytics/v1/cohorts_pb.ts";
import { SegmentService } from "#gen/waymark/analytics/v1/segments_pb.ts";
import * as crowd from "../test-crowd.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const DAY = 86_400_000;
const ZONE = "Europe/Berlin";
const api = () => ground.client(CohortService);

type Interval = "day" | "week" | "month";
const INTERVALS: Record<Interval, CohortInterval> = {
  day: CohortInterval.DAY,
  week: CohortInterval.WEEK,
  month: CohortInterval.MONTH,
};

/** What is asked, as plain code sees it. */
interface Asked {
  interval: Interval;
  periods: number;
  start: number;
  end: number;
}

type Person = readonly crowd.Hit[];
type Wins = (person: Person) => readonly number[];

const startOf = (at: number, interval: Interval): Temporal.PlainDate => crowd.intervalOf(at, interval, ZONE);
const isSame = (one: Temporal.PlainDate, other: Temporal.PlainDate): boolean => one.equals(other);
const isBefore = (one: Temporal.PlainDate, other: Temporal.PlainDate): boolean =>
  Temporal.PlainDate.compare(one, other) < 0;

/** The periods of a group of people, by the definitions of the documents. */
function periodsOf(people: readonly Person[], { interval, periods, end }: Asked, wins: Wins): object[] {
  const first = (person: Person) => startOf(person[0]?.at ?? 0, interval);
  const last = startOf(end, interval);
  const all = [];
  let [lifetimeScans, lifetimeConversions] = [0, 0];
  for (let offset = 0; offset <= periods; offset += 1) {
    const of = (person: Person) => crowd.later(first(person), interval, offset);
    const eligible = people.filter((person) => !isBefore(last, of(person)));
    if (eligible.length === 0) break;
    const isIn = (person: Person, at: number) => isSame(startOf(at, interval), of(person));
    const visitors = eligible.filter((person) => person.some(({ at }) => isIn(person, at))).length;
    const scans = eligible.flatMap((person) => person.filter(({ at }) => isIn(person, at))).length;
    const conversions = eligible.flatMap((person) => wins(person).filter((at) => isIn(person, at))).length;
    lifetimeScans += scans / eligible.length;
    lifetimeConversions += conversions / eligible.length;
    all.push({
      ...{ offset, eligible: eligible.length, visitors, rate: crowd.percent(visitors, eligible.length) },
      ...{ scans, conversions },
      lifetimeScans: crowd.round2(lifetimeScans),
      lifetimeConversions: crowd.round2(lifetimeConversions),
      complete: eligible.every((person) => isBefore(of(person), startOf(end + 1, interval))),
    });
  }
  return all;
}

/** Those who came first in the range, with their events until its end. */
function membersOf({ known }: crowd.Crowd, { start, end }: Asked): Person[] {
  const seen = crowd.byVisitor(known.filter(({ at }) => at <= end));
  return seen.filter((person) => (person[0]?.at ?? 0) >= start);
}

const plain = (cohorts: readonly Cohort[]) =>
  cohorts.map(({ cohort, label, size, periods }) => ({
    ...{ cohort, label, size },
    periods: periods.map(({ $typeName: _, ...period }) => period),
  }));

const requestOf = ({ interval, periods, start, end }: Asked) => ({
  ...{ interval: INTERVALS[interval], periods, timezone: ZONE },
  ...{ startDate: crowd.ms(start), endDate: crowd.ms(end) },
});

const talks =
  (end: number): Wins =>
  (person) =>
    person.filter(({ at, talked }) => talked && at <= end).map(({ at }) => at);

describe("cohorts over random crowds, where clocks go back", () => {
  const questions: Asked[] = [
    { interval: "day", periods: 5, start: NOW - 40 * DAY, end: NOW - 20 * DAY },
    { interval: "week", periods: 3, start: NOW - 60 * DAY, end: NOW },
    { interval: "month", periods: 12, start: NOW - 80 * DAY, end: NOW - 9 * DAY + 1 },
  ];

  it("by time are those of plain code, with each number of each period", async () => {
    const check = async (people: crowd.Crowd) => {
      for (const asked of questions) {
        const conversion = { goal: { case: "conversation" as const, value: true } };
        const { cohorts, visitors } = await api().analyzeCohorts({ ...requestOf(asked), conversion }, people.by);
        const members = membersOf(people, asked);
        expect(visitors).toBe(members.length);
        const groups = Map.groupBy(members, (person) => startOf(person[0]?.at ?? 0, asked.interval).toString());
        const wanted = [...groups]
          .toSorted(([one], [other]) => (one < other ? -1 : 1))
          .map(([cohort, some]) => ({
            ...{ cohort, label: cohort, size: some.length },
            periods: periodsOf(some, asked, talks(asked.end)),
          }));
        expect(plain(cohorts)).toEqual(wanted);
      }
    };
    await crowd.overCrowds(ground, { numRuns: 6, check });
  }, 60_000);

  const attribute = (person: Person, identifiedAt: number | undefined) =>
    person[0]?.visitor === "a" && identifiedAt !== undefined ? "pro" : "";
  const link = (cohort: string) => `Name of ${cohort}`;
  const dimensions: [string, (person: Person, people: crowd.Crowd) => readonly string[], (cohort: string) => string][] =
    [
      ["country", ([first]) => [first?.country ?? ""], (cohort) => cohort],
      ["utmSource", ([first]) => [first?.utmSource ?? ""], (cohort) => cohort],
      ["firstLink", ([first]) => [first?.link ?? ""], link],
      ["firstTag", ([first]) => crowd.TAGS[first?.link ?? ""] ?? [""], (cohort) => cohort],
      [
        "converted",
        (person) => [String(person.some(({ link: id }) => id === "link_4"))],
        (cohort) => (cohort === "true" ? "Converted" : "Not converted"),
      ],
      ["attributes.plan", (person, { identifiedAt }) => [attribute(person, identifiedAt)], (cohort) => cohort],
    ];

  it("by what the first event was like, or what became of visitors, are those of plain code", async () => {
    const asked = questions[1] as Asked;
    const check = async (people: crowd.Crowd) => {
      for (const [dimension, of, labelOf] of dimensions) {
        const goal = { case: "linkId" as const, value: "link_4" };
        const request = { ...requestOf(asked), behaviour: { dimension }, conversion: { goal } };
        const { cohorts, truncated } = await api().analyzeCohorts(request, people.by);
        const members = membersOf(people, asked);
        const names = new Set(members.flatMap((person) => of(person, people)));
        const wins: Wins = (person) => person.filter(({ link: id }) => id === "link_4").map(({ at }) => at);
        const wanted = [...names].map((cohort) => {
          const some = members.filter((person) => of(person, people).includes(cohort));
          const label = cohort === "" ? "Unknown" : labelOf(cohort);
          return { cohort, label, size: some.length, periods: periodsOf(some, asked, wins) };
        });
        wanted.sort((one, other) => other.size - one.size || (one.cohort < other.cohort ? -1 : 1));
        expect([dimension, plain(cohorts)]).toEqual([dimension, wanted]);
        expect(truncated).toBe(false);
      }
    };
    await crowd.overCrowds(ground, { numRuns: 5, check });
  }, 60_000);
});

describe("cohorts that are segments", () => {
  it("have their members of now, one visitor in several or in none, and the periods of plain code", async () => {
    const asked: Asked = { interval: "week", periods: 4, start: NOW - 60 * DAY, end: NOW - 5 * DAY };
    const rules: [string, object, (person: Person) => boolean][] = [
      ["Shop", { linkId: "link_1" }, (person) => person.some(({ link }) => link === "link_1")],
      ["Twice", { tag: "shop", atLeast: 2 }, (person) => person.filter(({ link }) => isShop(link)).length > 1],
      ["Never", { linkId: "link_3", never: true }, (person) => !person.some(({ link }) => link === "link_3")],
    ];
    const isShop = (link: string) => crowd.TAGS[link]?.includes("shop") === true;
    const check = async (people: crowd.Crowd) => {
      const segments = ground.client(SegmentService);
      const wanted = new Map<string, (person: Person) => boolean>();
      for (const [name, behaviour, isIn] of rules) {
        const { segment } = await segments.createSegment({ name, behaviours: [behaviour] }, people.by);
        wanted.set(segment?.id ?? "", isIn);
      }
      const conversion = { goal: { case: "conversation" as const, value: true } };
      const request = { ...requestOf(asked), by: CohortKind.SEGMENT, conversion };
      const { cohorts, visitors } = await api().analyzeCohorts(request, people.by);
      const all = crowd.byVisitor(people.known);
      const members = membersOf(people, asked);
      const isMember = (isIn: (person: Person) => boolean) => (person: Person) =>
        all.some((whole) => whole[0]?.visitor === person[0]?.visitor && isIn(whole));
      const sizes = [...wanted].map(([id, isIn]) => [id, members.filter(isMember(isIn)).length] as const);
      expect(new Map(cohorts.map(({ cohort, size }) => [cohort, size]))).toEqual(
        new Map(sizes.filter(([, size]) => size > 0)),
      );
      expect(visitors).toBe(members.filter((one) => [...wanted.values()].some((isIn) => isMember(isIn)(one))).length);
      for (const { cohort, periods } of plain(cohorts)) {
        const some = members.filter(isMember(wanted.get(cohort) ?? (() => false)));
        expect(periods).toEqual(periodsOf(some, asked, talks(asked.end)));
      }
      const [one = ""] = wanted.keys();
      const only = await api().analyzeCohorts({ ...request, segmentIds: [one] }, people.by);
      expect(only.cohorts.every(({ cohort, label }) => cohort === one && label === "Shop")).toBe(true);
    };
    await crowd.overCrowds(ground, { numRuns: 4, check });
  }, 60_000);

  it("are refused when there is no such segment, or another kind is asked", async () => {
    const ask = (request: object) =>
      api()
        .analyzeCohorts(request, ground.by({ workspace: "nobody" }))
        .then(
          ({ cohorts }) => cohorts,
          (error: ConnectError) => [error.code, fieldOf(error)],
        );
    expect(await ask({ by: CohortKind.SEGMENT })).toEqual([]);
    expect(await ask({ by: CohortKind.SEGMENT, segmentIds: ["seg_none"] })).toEqual([Code.NotFound, undefined]);
    expect(await ask({ by: CohortKind.TIME, segmentIds: ["seg_none"] })).toEqual([Code.InvalidArgument, "segment_ids"]);
  });
});

describe("a question about cohorts", () => {
  const refused = (request: Parameters<ReturnType<typeof api>["analyzeCohorts"]>[0], who = {}) =>
    api()
      .analyzeCohorts(request, ground.by({ workspace: "nobody", ...who }))
      .then(
        () => "answered",
        (error: ConnectError) => [error.code, fieldOf(error)],
      );

  it.each([
    ["an unknown dimension", { behaviour: { dimension: "moon" } }, "behaviour.dimension"],
    [
      "a dimension named as a member of every object",
      { behaviour: { dimension: "constructor" } },
      "behaviour.dimension",
    ],
    ["a behaviour without its dimension", { kind: CohortKind.BEHAVIOUR }, "behaviour"],
    ["an attribute without its key", { kind: CohortKind.ATTRIBUTE }, "attribute"],
    ["a behaviour of cohorts by time", { kind: CohortKind.TIME, behaviour: { dimension: "country" } }, "behaviour"],
    ["two intervals", { interval: CohortInterval.DAY, period: CohortInterval.WEEK }, "period"],
    ["an unknown field", { where: [{ field: "moon" }] }, "where[0].field"],
    [
      "too many intervals",
      { interval: CohortInterval.DAY, startDate: crowd.ms(NOW - 200 * DAY), endDate: crowd.ms(NOW) },
      "start_date",
    ],
  ])("with %s is refused by name", async (_case, request, field) => {
    expect(await refused(request)).toEqual([Code.InvalidArgument, field]);
  });

  it("about what is known of visitors needs a key that may see them", async () => {
    const key = { keyClass: "production" as const, scopes: ["analytics:read" as const] };
    const plan = { kind: CohortKind.ATTRIBUTE, attribute: "plan" };
    expect(await refused(plan, key)).toEqual([Code.PermissionDenied, undefined]);
    const where = [{ field: "email", value: { kind: { case: "stringValue" as const, value: "a@example.com" } } }];
    expect(await refused({ where }, key)).toEqual([Code.PermissionDenied, undefined]);
    expect(await refused({ behaviour: { dimension: "country" } }, key)).toBe("answered");
    expect(await refused(plan, { ...key, scopes: ["analytics:read", "visitors:read"] })).toBe("answered");
  });

  it("says how many events are nobody's, and that other workspaces are not looked at", async () => {
    const check = async ({ by, hits, known }: crowd.Crowd) => {
      const { explanation } = await api().analyzeCohorts({ explain: true, endDate: crowd.ms(NOW) }, by);
      expect(explanation?.considered).toBe(BigInt(hits.length));
      expect(explanation?.withoutDevice).toBe(BigInt(hits.length - known.length));
      const other = await api().analyzeCohorts({ explain: true }, ground.by({ workspace: "nobody" }));
      expect([other.visitors, other.explanation?.considered]).toEqual([0, 0n]);
    };
    await crowd.overCrowds(ground, { numRuns: 2, check });
  });
});
