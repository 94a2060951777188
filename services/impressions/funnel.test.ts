import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AmbassadorService } from "#gen/waymark/impressions/v1/ambassadors_pb.ts";
import { EarningService, EarningStatus } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { FunnelService, type FunnelSteps } from "#gen/waymark/impressions/v1/funnel_pb.ts";
import { ImpressionService } from "#gen/waymark/impressions/v1/impressions_pb.ts";
import { PosterService } from "#gen/waymark/impressions/v1/posters_pb.ts";
import { ProgramService } from "#gen/waymark/impressions/v1/programs_pb.ts";
import { ReferralService, ReferralStatus } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import { auditStandIn } from "../../test/support/audit-stand-in.ts";
import { directoryStandIn } from "../../test/support/directory-stand-in.ts";
import { intakeStandIn } from "../../test/support/intake-stand-in.ts";
import { openServiceGround, type ServiceGround } from "../../test/support/service-ground.ts";
import { impressions } from "./service.ts";

const NOW = Date.UTC(2026, 10, 5, 12);
const HOUR = 3_600_000;
const ZONE = "Europe/Berlin";
let ground: ServiceGround;
beforeAll(async () => {
  ground = await openServiceGround([impressions, intakeStandIn, directoryStandIn(new Map()), auditStandIn([])], NOW);
});
afterAll(() => ground.close());

const api = () => ground.client(FunnelService);
const POSTERS = { p1: "ada", p2: "ada", p3: "bo" } as const;
type Poster = keyof typeof POSTERS;

interface Referral {
  /** Which of the impressions. */
  of: number;
  status: ReferralStatus;
  earnings: { amount: number; currency: string; failed: boolean }[];
}

interface World {
  scans: { poster: Poster; at: number }[];
  referrals: Referral[];
}

/** Scans about the night in which Berlin's clocks go back. */
const world: fc.Arbitrary<World> = fc.record({
  scans: fc.array(
    fc.record({
      poster: fc.constantFrom<Poster>("p1", "p2", "p3"),
      at: fc.integer({ min: 0, max: 12 * 24 }).map((n) => NOW - n * HOUR),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  referrals: fc.array(
    fc.record({
      of: fc.nat({ max: 11 }),
      status: fc.constantFrom(
        ...[ReferralStatus.PENDING, ReferralStatus.CONVERTED, ReferralStatus.VERIFIED, ReferralStatus.REJECTED],
      ),
      earnings: fc.array(
        fc.record({
          amount: fc.integer({ min: 1, max: 900 }),
          currency: fc.constantFrom("USD", "EUR"),
          failed: fc.boolean(),
        }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 6 },
  ),
});

let run = 0;

/** A workspace with this world in its program. */
async function settled({ scans, referrals }: World) {
  run += 1;
  const by = ground.by({ workspace: `funnel${run}` });
  await ground.client(ProgramService).createProgram({ id: "prog", name: "P", landingUrl: "https://example.com" }, by);
  const person = { firstName: "Ann", lastName: "L", email: "a@example.com", programId: "prog" };
  for (const id of ["ada", "bo"]) {
    ground.clock.now += 1;
    await ground.client(AmbassadorService).createAmbassador({ ...person, id, lastName: id }, by);
  }
  for (const [id, studentId] of Object.entries(POSTERS)) {
    ground.clock.now += 1;
    const location = id === "p3" ? undefined : `at ${id}`;
    await ground.client(PosterService).createPoster({ id, studentId, programId: "prog", location }, by);
  }
  const inputs = scans.map(({ poster, at }, n) => ({ id: `i${n}`, posterId: poster, scannedAt: timestampFromMs(at) }));
  await ground.client(ImpressionService).recordImpressions({ impressions: inputs }, by);
  await ground.settle();
  for (const [n, { of, status, earnings }] of referrals.entries()) {
    const friend = { firstName: "Cy", lastName: "B", email: "cy@example.com" };
    const impressionId = `i${of % scans.length}`;
    await ground.client(ReferralService).createReferral({ ...friend, id: `r${n}`, impressionId }, by);
    await ground.client(ReferralService).updateReferral({ referralId: `r${n}`, status }, by);
    for (const { amount, currency, failed } of earnings) {
      const request = { referralId: `r${n}`, amount: BigInt(amount), currency };
      const { earning } = await ground.client(EarningService).createEarning(request, by);
      const change = { earningId: earning?.id ?? "", status: EarningStatus.FAILED };
      if (failed) await ground.client(EarningService).updateEarning(change, by);
    }
  }
  return by;
}

const percent = (part: number, whole: number) => (whole === 0 ? 0 : Math.round((part / whole) * 10_000) / 100);

/** The steps of the impressions that are chosen, by the definitions of the documents. */
function stepsOf({ scans, referrals }: World, isIn: (scan: World["scans"][number]) => boolean) {
  const seen = scans.filter(isIn).length;
  const led = referrals.filter(({ of }) => {
    const scan = scans[of % scans.length];
    return scan !== undefined && isIn(scan);
  });
  const count = (wanted: ReferralStatus) => led.filter(({ status }) => status === wanted).length;
  const earned = Map.groupBy(
    led.flatMap(({ earnings }) => earnings).filter(({ failed }) => !failed),
    ({ currency }) => currency,
  );
  return {
    ...{ impressions: BigInt(seen), referrals: BigInt(led.length), converted: BigInt(count(ReferralStatus.CONVERTED)) },
    ...{ verified: BigInt(count(ReferralStatus.VERIFIED)), rejected: BigInt(count(ReferralStatus.REJECTED)) },
    referralRate: percent(led.length, seen),
    conversionRate: percent(count(ReferralStatus.CONVERTED), led.length),
    verificationRate: percent(count(ReferralStatus.VERIFIED), led.length),
    overallRate: percent(count(ReferralStatus.VERIFIED), seen),
    earnings: [...earned]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([currency, all]) => ({
        currency,
        amount: BigInt(all.reduce((sum, { amount }) => sum + amount, 0)),
        count: BigInt(all.length),
      })),
  };
}

const plain = (steps: FunnelSteps | undefined) => ({
  ...steps,
  $typeName: undefined,
  earnings: steps?.earnings.map(({ $typeName: _, ...earning }) => earning),
});

const dayOf = (at: number) =>
  Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(ZONE).toPlainDate().toString();

const windows = [{}, { since: NOW - 200 * HOUR }, { since: NOW - 260 * HOUR, until: NOW - 30 * HOUR }];

async function check(one: World, by: Awaited<ReturnType<typeof settled>>): Promise<void> {
  for (const window of windows as { since?: number; until?: number }[]) {
    const { since, until } = window;
    const isIn = ({ at }: { at: number }) => at >= (since ?? at) && (until === undefined || at < until);
    const range = {
      since: since === undefined ? undefined : timestampFromMs(since),
      until: until === undefined ? undefined : timestampFromMs(until),
    };
    const ask = (grouped: string) =>
      api().getProgramFunnel({ programId: "prog", by: grouped, timezone: ZONE, ...range }, by);
    const wanted = (chosen: (scan: World["scans"][number]) => boolean) => ({
      ...stepsOf(one, (scan) => isIn(scan) && chosen(scan)),
      $typeName: undefined,
    });
    expect(plain((await ask("")).steps)).toEqual(wanted(() => true));
    const posters = await ask("poster");
    expect(posters.groups.map(({ key, label, steps }) => [key, label, plain(steps)])).toEqual(
      Object.keys(POSTERS).map((id) => [
        id,
        id === "p3" ? undefined : `at ${id}`,
        wanted(({ poster }) => poster === id),
      ]),
    );
    const students = await ask("student");
    expect(students.groups.map(({ key, label, steps }) => [key, label, plain(steps)])).toEqual(
      ["ada", "bo"].map((id) => [id, `Ann ${id}`, wanted(({ poster }) => POSTERS[poster] === id)]),
    );
    const days = await ask("day");
    expect(days.totalGroups).toBe(BigInt(days.groups.length));
    for (const { key, steps } of days.groups)
      expect([key, plain(steps)]).toEqual([key, wanted(({ at }) => dayOf(at) === key)]);
    const shown = new Set(days.groups.map(({ key }) => key));
    expect(one.scans.filter(isIn).every(({ at }) => shown.has(dayOf(at)))).toBe(true);
  }
}

describe("the funnel of a program", () => {
  it("is that of plain code, in all and by poster, student and day, where clocks go back", async () => {
    const property = fc.asyncProperty(world, async (one) => check(one, await settled(one)));
    await fc.assert(property, { numRuns: 6, endOnFailure: true, interruptAfterTimeLimit: 30_000 });
  }, 60_000);

  it("shows its groups by page", async () => {
    const by = await settled({ scans: [{ poster: "p2", at: NOW }], referrals: [] });
    const page = await api().getProgramFunnel({ programId: "prog", by: "poster", limit: 1, offset: 1 }, by);
    expect([page.groups.map(({ key }) => key), page.totalGroups, page.steps?.impressions]).toEqual([["p2"], 3n, 1n]);
  });

  it("is refused for an unknown program, another workspace's, and what it cannot be grouped by", async () => {
    const by = await settled({ scans: [{ poster: "p1", at: NOW }], referrals: [] });
    const missing = { code: Code.NotFound, rawMessage: "program none does not exist" };
    await expect(api().getProgramFunnel({ programId: "none" }, by)).rejects.toMatchObject(missing);
    const stranger = ground.by({ workspace: "stranger" });
    await expect(api().getProgramFunnel({ programId: "prog" }, stranger)).rejects.toMatchObject({
      code: Code.NotFound,
    });
    const words = { code: Code.InvalidArgument, rawMessage: "by must be one of poster, student, day" };
    await expect(api().getProgramFunnel({ programId: "prog", by: "moon" }, by)).rejects.toMatchObject(words);
    const reversed = { since: timestampFromMs(NOW), until: timestampFromMs(NOW - 1) };
    const order = { code: Code.InvalidArgument, rawMessage: "until must not be before since" };
    await expect(api().getProgramFunnel({ programId: "prog", ...reversed }, by)).rejects.toMatchObject(order);
    const zone = { code: Code.InvalidArgument, rawMessage: expect.stringContaining("timezone") };
    await expect(api().getProgramFunnel({ programId: "prog", timezone: "Moon" }, by)).rejects.toMatchObject(zone);
  });
});
