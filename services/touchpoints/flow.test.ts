import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { TouchpointDwell } from "#gen/waymark/touchpoints/v1/flow_pb.ts";
import { TouchpointService } from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { intakeStandIn } from "../../test/support/intake-stand-in.ts";
import { openServiceGround, type ServiceGround } from "../../test/support/service-ground.ts";
import { floorSeconds, openDurations } from "./durations.ts";
import { touchpoints } from "./service.ts";

const NOW = Date.UTC(2024, 0, 10);
let ground: ServiceGround;
beforeAll(async () => {
  ground = await openServiceGround([touchpoints, intakeStandIn], NOW);
});
afterAll(() => ground.close());

const api = () => ground.client(TouchpointService);
const IDS = ["tp-a", "tp-b", "tp-c", "tp-d"];

interface Visit {
  user: string;
  touchpoint: string;
  at: number;
}

/** Few users and touchpoints; many visits at the same millisecond. */
const visits: fc.Arbitrary<Visit[]> = fc.array(
  fc.record({
    user: fc.constantFrom("u1", "u2", "u3"),
    touchpoint: fc.constantFrom("tp-a", "tp-b", "tp-c"),
    at: fc.oneof(
      fc.integer({ min: 0, max: 5 }).map((n) => NOW - 1_000 * n),
      fc.integer({ min: 0, max: 3_000_000 }).map((n) => NOW - n * 100),
    ),
  }),
  { minLength: 1, maxLength: 30 },
);

let run = 0;

/** An experience of a workspace of its own with these visits, recorded in this order. */
async function visited(all: readonly Visit[]): Promise<Partial<Principal>> {
  run += 1;
  const who = { workspace: `flow${run}` };
  const by = ground.by(who);
  await api().createExperience({ id: "exp", name: "E", value: "e" }, by);
  for (const id of IDS) {
    ground.clock.now += 1;
    await api().createTouchpoint({ id, experienceId: "exp", name: id, value: id }, by);
  }
  const scans = all.map(({ user, touchpoint, at }, n) => ({
    ...{ id: idOf(n), touchpointId: touchpoint, userId: user, timestampUtc: timestampFromMs(at) },
  }));
  if (scans.length > 0) expect((await api().recordTouchpointScans({ scans }, by)).accepted).toBe(all.length);
  await ground.settle();
  return who;
}

const idOf = (n: number): string => `v${String(n).padStart(3, "0")}`;

/** A stay of a user at a touchpoint: from its first visit on, until the first visit to another one. */
interface Stay {
  user: string;
  touchpoint: string;
  since: number;
  ms: number | undefined;
  next: string | undefined;
}

function staysOf(all: readonly Visit[]): Stay[][] {
  const ordered = all.map((visit, n) => ({ ...visit, n })).sort((a, b) => a.at - b.at || a.n - b.n);
  return [...Map.groupBy(ordered, ({ user }) => user).values()].map((mine) => {
    const starts = mine.filter(({ touchpoint }, n) => touchpoint !== mine[n - 1]?.touchpoint);
    return starts.map(({ user, touchpoint, at }, n) => {
      const after = starts[n + 1];
      return { user, touchpoint, since: at, ms: after && after.at - at, next: after?.touchpoint };
    });
  });
}

const round2 = (value: number) => Math.round(value * 100) / 100;
const percent = (part: number, whole: number) => (whole === 0 ? 0 : round2((part / whole) * 100));

function dwellOf(ms: readonly number[]) {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number) => {
    const value = sorted[Math.ceil((ms.length * share) / 100) - 1];
    return value === undefined ? undefined : floorSeconds(value);
  };
  const average = Math.round(ms.reduce((sum, one) => sum + one, 0) / ms.length) / 1_000;
  return [BigInt(ms.length), ms.length === 0 ? undefined : average, at(50), at(90)];
}

const told = (dwell: TouchpointDwell | undefined) => [
  dwell?.count,
  dwell?.averageSeconds,
  dwell?.medianSeconds,
  dwell?.p90Seconds,
];

const some = (values: readonly (number | undefined)[]) => values.filter((value) => value !== undefined);

it("is that of plain code: order, entries, drops, transitions, and how long users stay", async () => {
  const property = fc.asyncProperty(visits, async (all) => {
    const by = ground.by(await visited(all));
    const flow = await api().getTouchpointFlow({ experienceId: "exp" }, by);
    const users = staysOf(all);
    const stays = users.flat();
    expect([flow.totalUsers, flow.totalVisits]).toEqual([BigInt(users.length), BigInt(all.length)]);
    const stops = IDS.map((id) => {
      const met = users.map((mine) => mine.findIndex(({ touchpoint }) => touchpoint === id)).filter((n) => n >= 0);
      const drops = users.filter((mine) => mine.at(-1)?.touchpoint === id).length;
      const steps = met.reduce((sum, n) => sum + n + 1, 0);
      return {
        ...{ id, totalVisits: BigInt(all.filter(({ touchpoint }) => touchpoint === id).length) },
        ...{ uniqueVisits: BigInt(met.length), drops: BigInt(drops), dropRate: percent(drops, met.length) },
        entries: BigInt(users.filter(([first]) => first?.touchpoint === id).length),
        averageStep: met.length === 0 ? undefined : round2(steps / met.length),
        order: met.length === 0 ? 1e9 : steps / met.length,
        dwell: dwellOf(some(stays.filter(({ touchpoint }) => touchpoint === id).map(({ ms }) => ms))),
      };
    });
    expect(
      flow.touchpoints.map(({ $typeName: _, name: _name, value: _value, dwell, ...stop }) => ({
        ...stop,
        dwell: told(dwell),
      })),
    ).toEqual(stops.toSorted((a, b) => a.order - b.order).map(({ order: _, ...stop }) => stop));
    const hops = Map.groupBy(
      stays.filter(({ next }) => next !== undefined),
      ({ touchpoint, next }) => `${touchpoint} ${next}`,
    );
    const wanted = [...hops]
      .sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1))
      .map(([hop, mine]) => {
        const left = stays.filter(({ touchpoint, next }) => touchpoint === hop.split(" ")[0] && next !== undefined);
        return [hop, BigInt(mine.length), percent(mine.length, left.length), dwellOf(some(mine.map(({ ms }) => ms)))];
      });
    expect(
      flow.transitions.map(({ from, to, count, percentage, dwell }) => [
        `${from} ${to}`,
        count,
        percentage,
        told(dwell),
      ]),
    ).toEqual(wanted);
  });
  await fc.assert(property, { numRuns: 15, endOnFailure: true, interruptAfterTimeLimit: 20_000 });
}, 40_000);

it("is refused for no experience, an unknown one, and another workspace's", async () => {
  const who = await visited([{ user: "u1", touchpoint: "tp-a", at: NOW }]);
  const flow = (experienceId: string, other: Partial<Principal> = who) =>
    api().getTouchpointFlow({ experienceId }, ground.by(other));
  const missing = { code: Code.InvalidArgument, rawMessage: "Missing required parameter: experienceId" };
  await expect(flow("")).rejects.toMatchObject(missing);
  const unknown = { code: Code.NotFound, rawMessage: "Experience not found" };
  await expect(flow("none")).rejects.toMatchObject(unknown);
  await expect(flow("exp", { workspace: "stranger" })).rejects.toMatchObject(unknown);
  await expect(flow("exp", { ...who, test: true })).rejects.toMatchObject(unknown);
});

it("of an experience without visits has its touchpoints and nobody", async () => {
  const flow = await api().getTouchpointFlow({ experienceId: "exp" }, ground.by(await visited([])));
  expect(flow).toMatchObject({ totalUsers: 0n, totalVisits: 0n, transitions: [] });
  expect(flow.touchpoints.map(({ id }) => id)).toEqual(IDS);
});

it.each([
  [999_999, 999],
  [1_000_000, 1_000],
  [1_009_999, 1_000],
  [86_399_000, 86_300],
])("durations of %i ms are told as %i s", (ms, seconds) => {
  expect(floorSeconds(ms)).toBe(seconds);
});

it("percentiles of many durations take no more than a small table", () => {
  const durations = openDurations();
  for (let n = 1; n <= 100_000; n += 1) durations.add(n * 1_000);
  expect([durations.percentile(50), durations.percentile(90), durations.count()]).toEqual([50_000, 90_000, 100_000]);
});
