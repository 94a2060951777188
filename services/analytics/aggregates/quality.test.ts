import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AggregateService } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { TargetSchema, TargetStatus } from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { overScans, percent, type Scan, TAGS, tellChanged, uniques } from "./test-scans.ts";

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

const api = () => ground.client(AggregateService);
const RANGE = { start: NOW - 60 * 86_400_000, end: NOW };
const range = { startDate: timestampFromMs(RANGE.start), endDate: timestampFromMs(RANGE.end) };
const within = (scans: readonly Scan[]) => scans.filter(({ at }) => at >= RANGE.start && at <= RANGE.end);
const sum = (numbers: Readonly<Record<string, number>> | undefined) =>
  Object.values(numbers ?? {}).reduce((all, number) => all + number, 0);

const UNTIMED = { p50Ms: undefined, p95Ms: undefined };

/** Nearest-rank quantiles: the least that a share of them does not exceed. */
function timesOf(us: readonly number[]) {
  const sorted = us.toSorted((a, b) => a - b);
  const rank = (share: number) => (sorted[Math.ceil(sorted.length * share) - 1] ?? 0) / 1_000;
  return us.length === 0 ? UNTIMED : { p50Ms: rank(0.5), p95Ms: rank(0.95) };
}

/** What became of scans, in plain code, but for why a page was shown. */
function qualityOf(scans: readonly Scan[]) {
  const people = scans.filter(({ reason }) => reason === "");
  const sent = people.filter(({ destination }) => destination !== "");
  const redirected = sent.length;
  const pages = people.filter(({ destination, method }) => destination === "" && method !== "").length;
  const reasons = Map.groupBy(
    scans.filter(({ reason }) => reason !== ""),
    ({ reason }) => reason,
  );
  return {
    ...{ scans: scans.length, counted: people.length, redirected, recorded: people.length - redirected - pages },
    filtered: Object.fromEntries([...reasons].map(([reason, some]) => [reason, some.length])),
    ...(redirected + pages > 0 && { successRate: percent(redirected, redirected + pages) }),
    ...timesOf(sent.map(({ redirectUs }) => redirectUs).filter((us) => us > 0)),
  };
}

describe("quality", () => {
  it("tells what became of every scan, by link and in all", async () => {
    await overScans(ground, {
      numRuns: 8,
      check: async ({ by, all }) => {
        const asked = within(all).filter(({ link }) => TAGS[link]?.includes("shop"));
        const quality = await api().queryQuality({ ...range, tag: "shop" }, by);
        expect([quality.total, { ...UNTIMED, ...quality.all }]).toMatchObject([asked.length, qualityOf(asked)]);
        expect((quality.all?.counted ?? 0) - (quality.all?.redirected ?? 0) - (quality.all?.recorded ?? 0)).toBe(
          sum(quality.all?.failed),
        );
        const byLink = Map.groupBy(asked, ({ link }) => link);
        expect(quality.data.map(({ linkId }) => linkId).toSorted()).toEqual([...byLink.keys()].toSorted());
        for (const { linkId, quality: one } of quality.data)
          expect({ ...UNTIMED, ...one }).toMatchObject(qualityOf(byLink.get(linkId) ?? []));
        const people = asked.filter(
          ({ reason, destination, method }) => reason === "" && (destination !== "" || method !== ""),
        );
        const routes = Map.groupBy(people, ({ rule, destination }) => `${rule} ${destination}`);
        const wanted = [...routes].map(([route, mine]) => [
          route,
          mine.length,
          percent(mine.length, people.length),
          uniques(mine),
        ]);
        const found = quality.routes.map((row) => [
          `${row.rule} ${row.destination}`,
          row.scans,
          row.percentage,
          row.visitors,
        ]);
        expect(found.toSorted()).toEqual(wanted.toSorted());
      },
    });
  });

  it("tells why a page was shown, where older scans do not say it as far as the code has not been changed since", async () => {
    const workspace = "reasons";
    const by = ground.by({ workspace });
    const target = create(TargetSchema, {
      ...{
        codeId: "code",
        workspaceId: workspace,
        purpose: Purpose.MARKETING,
        status: TargetStatus.ACTIVE,
        tags: ["t"],
      },
    });
    ground.targets.push(target);
    let n = 0;
    const scanned = async (destination: string, failure = "") => {
      n += 1;
      const given = { id: `r${n}`, workspaceId: workspace, codeId: "code", method: "GET", destination, failure };
      await ground.append([touchOf(given)]);
      await ground.settle();
    };
    const failed = async () => (await api().queryQuality({ linkId: "code" }, by)).all;
    await tellChanged(ground, ["code"], workspace);
    await scanned("https://example.com");
    await scanned("");
    expect(await failed()).toMatchObject({ scans: 2, redirected: 1, failed: { no_destination: 1 }, successRate: 50 });
    target.status = TargetStatus.PAUSED;
    await tellChanged(ground, ["code"], workspace);
    await scanned("");
    expect(await failed()).toMatchObject({ redirected: 1, failed: { paused: 1, unknown: 1 }, successRate: 33.33 });
    await scanned("", "archived");
    expect((await failed())?.failed).toEqual({ paused: 1, unknown: 1, archived: 1 });
    ground.targets.splice(ground.targets.indexOf(target), 1);
    await tellChanged(ground, ["code"], workspace);
    await scanned("");
    const { data } = await api().queryQuality({ tag: "t" }, by);
    expect(data).toMatchObject([{ linkId: "code", status: "deleted", quality: { scans: 5 } }]);
    expect((await failed())?.failed).toEqual({ unknown: 3, archived: 1 });
  });
});

describe("a funnel", () => {
  it("counts scans, redirects, conversations and visitors known by name", async () => {
    await overScans(ground, {
      numRuns: 8,
      check: async ({ by, people, names }) => {
        const some = people.filter(({ link }) => link === "link_1");
        const reached = [
          some,
          some.filter(({ destination }) => destination !== ""),
          some.filter(({ talked }) => talked),
          some.filter(({ visitor }) => names.has(visitor)),
        ];
        const { entryVisits, completionRate, steps } = await api().queryFunnel({ linkId: "link_1" }, by);
        const completed = some.filter(({ talked, visitor }) => talked || names.has(visitor));
        expect([entryVisits, completionRate]).toEqual([BigInt(some.length), percent(completed.length, some.length)]);
        const wanted = reached.map((mine, at) => {
          const lost = at === 0 ? [] : (reached[at - 1] ?? []).filter((scan) => !mine.includes(scan));
          return [mine.length, uniques(mine), lost.length, percent(mine.length, some.length)];
        });
        expect(
          steps.map((step) => [step.visits, step.uniqueVisitors, step.dropOffFromPrevious, step.conversionRate]),
        ).toEqual(
          wanted.map(([visits = 0, visitors = 0, lost = 0, rate]) => [
            BigInt(visits),
            BigInt(visitors),
            BigInt(lost),
            rate,
          ]),
        );
        expect(steps.map(({ stepKind }) => stepKind)).toEqual(["scan", "redirect", "conversation", "identify"]);
        const branches = Map.groupBy(reached[1] ?? [], ({ rule, destination }) => rule || destination);
        expect(steps[1]?.branches.map(({ label, visits }) => [label, Number(visits)]).toSorted()).toEqual(
          [...branches].map(([label, mine]) => [label, mine.length]).toSorted(),
        );
      },
    });
  });
});
