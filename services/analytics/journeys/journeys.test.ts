import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AnalyzeJourneysRequestSchema,
  JourneyBasis,
  JourneyService,
} from "#gen/waymark/analytics/v1/journeys_pb.ts";
import { byVisitor, type Crowd, type Hit, ms, overCrowds, percent, percentile, round2, TAGS } from "../test-crowd.ts";
import { type AnalyticsGround, fieldOf, NOW, openAnalyticsGround } from "../test-ground.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

type Request = MessageInitShape<typeof AnalyzeJourneysRequestSchema>;
const ask = (request: Request, by: Crowd["by"]) => ground.client(JourneyService).analyzeJourneys(request, by);
const DAY = 86_400_000;

interface Question {
  /** Milliseconds; infinite: one journey a visitor. */
  idle: number;
  depth: number;
  repeats: boolean;
  through?: string;
  tag?: string;
}

/** The steps of each journey, by the definitions of the documents. */
function journeysOf(hits: readonly Hit[], { idle, repeats, through, tag }: Question): Hit[][] {
  const journeys: Hit[][] = [];
  const seen = hits.filter(({ link }) => tag === undefined || (TAGS[link] ?? []).includes(tag));
  for (const mine of byVisitor(seen))
    for (const [n, hit] of mine.entries()) {
      const before = mine[n - 1];
      if (before === undefined || hit.at - before.at > idle) journeys.push([hit]);
      else if (repeats || before.link !== hit.link) journeys.at(-1)?.push(hit);
    }
  return journeys.filter((steps) => through === undefined || steps.some(({ link }) => link === through));
}

const people = (journeys: readonly (readonly Hit[])[]): number => new Set(journeys.map(([one]) => one?.visitor)).size;
const keyOf = (steps: readonly Hit[]): string => steps.map(({ link }) => link).join(">");
const most = <T extends { n: number; key: string }>(all: readonly T[]): T[] =>
  all.toSorted((one, other) => other.n - one.n || (one.key < other.key ? -1 : 1));

function pathsOf(journeys: readonly Hit[][], depth: number) {
  const groups = Map.groupBy(journeys, (steps) => keyOf(steps.slice(0, depth)));
  return most([...groups].map(([key, some]) => ({ key, some, n: some.length }))).map(({ key, some, n }) => {
    const times = some.map((steps) => (steps.slice(0, depth).at(-1)?.at ?? 0) - (steps[0]?.at ?? 0));
    return {
      ...{ steps: key.split(">"), names: key.split(">").map((link) => `Name of ${link}`) },
      ...{ journeys: n, visitors: people(some), percentage: percent(n, journeys.length) },
      medianMinutes: round2((percentile(times, 50) ?? 0) / 60_000),
    };
  });
}

function transitionsOf(journeys: readonly Hit[][]) {
  const hops = journeys.flatMap((steps) => steps.slice(1).map((to, n) => ({ from: steps[n] as Hit, to })));
  const groups = Map.groupBy(hops, ({ from, to }) => keyOf([from, to]));
  const at = (link: string) => journeys.flat().filter((hit) => hit.link === link).length;
  const ended = (link: string) => journeys.filter((steps) => steps.at(-1)?.link === link).length;
  return most([...groups].map(([key, some]) => ({ key, some, n: some.length }))).map(({ key, some, n }) => {
    const [from = "", to = ""] = key.split(">");
    const times = some.map((hop) => hop.to.at - hop.from.at);
    return {
      ...{ from, to, count: n, visitors: new Set(some.map((hop) => hop.from.visitor)).size },
      ...{ percentage: percent(n, at(from)), dropOffRate: percent(ended(from), at(from)) },
      medianSeconds: (percentile(times, 50) ?? 0) / 1_000,
    };
  });
}

function linksOf(journeys: readonly Hit[][]) {
  const groups = Map.groupBy(journeys.flat(), ({ link }) => link);
  return most([...groups].map(([key, some]) => ({ key, n: some.length }))).map(({ key: linkId, n: steps }) => {
    const entries = journeys.filter(([first]) => first?.link === linkId).length;
    const exits = journeys.filter((one) => one.at(-1)?.link === linkId).length;
    return { linkId, name: `Name of ${linkId}`, steps, entries, exits, exitRate: percent(exits, steps) };
  });
}

function dropOffOf(journeys: readonly Hit[][], depth: number) {
  const reach = (step: number) => journeys.filter(({ length }) => length >= step).length;
  return Array.from({ length: depth }, (_, n) => n + 1)
    .map((step) => ({ step, reached: reach(step), continued: reach(step + 1) }))
    .filter(({ reached }) => reached > 0)
    .map((one) => ({ ...one, dropped: one.reached - one.continued }))
    .map((one) => ({ ...one, dropOffRate: percent(one.dropped, one.reached) }));
}

function bottleneckOf(journeys: readonly Hit[][], depth: number) {
  const lost = dropOffOf(journeys, depth).filter(({ continued, dropped }) => continued > 0 && dropped > 0);
  const worst = lost.toSorted((one, other) => other.dropped - one.dropped || one.step - other.step)[0];
  if (worst === undefined) return undefined;
  const ends = Map.groupBy(
    journeys.filter(({ length }) => length === worst.step),
    (steps) => steps.at(-1)?.link ?? "",
  );
  const [end] = most([...ends].map(([key, some]) => ({ key, n: some.length })));
  const { step, dropped } = worst;
  return { step, dropped, linkId: end?.key, name: `Name of ${end?.key}`, droppedAtLink: end?.n };
}

const bare = <T extends { $typeName: string }>(all: readonly T[]): Omit<T, "$typeName">[] =>
  all.map(({ $typeName: _, ...rest }) => rest);

const MINUTE = 60_000;
const questions: Question[] = [
  { idle: 10 * MINUTE, depth: 2, repeats: false },
  { idle: 45 * MINUTE, depth: 5, repeats: true },
  { idle: Number.POSITIVE_INFINITY, depth: 10, repeats: false },
  { idle: Number.POSITIVE_INFINITY, depth: 3, repeats: true, through: "link_2" },
  { idle: 30 * MINUTE, depth: 1, repeats: false, through: "link_9" },
  { idle: 120 * MINUTE, depth: 4, repeats: false, tag: "shop" },
];

async function check({ known, by }: Crowd): Promise<void> {
  const [start, end] = [NOW - 40 * DAY, NOW - DAY];
  for (const question of questions) {
    const { idle, depth, repeats, through, tag } = question;
    const journeys = journeysOf(
      known.filter(({ at }) => at >= start && at <= end),
      question,
    );
    const answer = await ask(
      {
        ...(Number.isFinite(idle) ? { inactivityMinutes: idle / MINUTE } : { basis: JourneyBasis.LIFETIME }),
        ...{ depth, repeats, through, tag, limit: 200, startDate: ms(start), endDate: ms(end) },
      },
      by,
    );
    const { steps, visitors } = answer;
    expect([answer.journeys, visitors, steps]).toEqual([journeys.length, people(journeys), journeys.flat().length]);
    expect(bare(answer.paths)).toEqual(pathsOf(journeys, depth));
    expect(bare(answer.transitions)).toEqual(transitionsOf(journeys));
    expect(bare(answer.links)).toEqual(linksOf(journeys));
    expect(bare(answer.dropOff)).toEqual(dropOffOf(journeys, depth));
    expect(answer.bottleneck && bare([answer.bottleneck])[0]).toEqual(bottleneckOf(journeys, depth));
  }
}

describe("journeys", () => {
  it("are those of plain code: paths, transitions, links, who is left at each step, and where most are lost", async () => {
    await overCrowds(ground, { numRuns: 8, check });
  }, 60_000);

  it("are cut to the limit, the most frequent first", async () => {
    await overCrowds(ground, {
      numRuns: 2,
      check: async ({ by }) => {
        const all = await ask({ limit: 200 }, by);
        const one = await ask({ limit: 1 }, by);
        expect(one.journeys).toBe(all.journeys);
        expect([one.paths, one.transitions, one.links]).toEqual([
          all.paths.slice(0, 1),
          all.transitions.slice(0, 1),
          all.links.slice(0, 1),
        ]);
      },
    });
  });

  it.each<[string, Request, string]>([
    ["a rest of journeys that have none", { basis: JourneyBasis.LIFETIME, inactivityMinutes: 5 }, "inactivity_minutes"],
    ["two depths", { depth: 2, maxSteps: 3 }, "max_steps"],
    ["two links", { through: "a", linkId: "b" }, "link_id"],
    ["an unknown zone", { timezone: "Moon" }, "timezone"],
    ["too many paths", { limit: 201 }, "limit"],
    ["an unknown field", { where: [{ field: "moon" }] }, "where[0].field"],
  ])("with %s are refused by name", async (_case, request, field) => {
    const refusal = await ask(request, ground.by({ workspace: "nobody" })).catch((error: ConnectError) => error);
    expect([(refusal as ConnectError).code, fieldOf(refusal as ConnectError)]).toEqual([Code.InvalidArgument, field]);
  });
});
