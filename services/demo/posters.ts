import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AmbassadorService } from "#gen/waymark/impressions/v1/ambassadors_pb.ts";
import { EarningService } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { ImpressionService } from "#gen/waymark/impressions/v1/impressions_pb.ts";
import { PosterService } from "#gen/waymark/impressions/v1/posters_pb.ts";
import { ProgramService } from "#gen/waymark/impressions/v1/programs_pb.ts";
import { ReferralService } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import { AGENTS, pick, random, times } from "./history.ts";
import { once, type Seeding } from "./seed.ts";

const POSTERS = ["poster_123abc", "poster_demo_library", "poster_demo_gym"];

/** The program, ambassador and poster of the Impressions API's page, with four weeks of impressions. */
export async function seedPosters(seeding: Seeding): Promise<void> {
  const { client, caller } = seeding;
  const program = { id: "prog_123abc", name: "Campus Ambassadors", landingUrl: "https://example.com/join" };
  await once(client(ProgramService).createProgram(program, caller));
  const person = { firstName: "Sam", lastName: "Taylor", email: "sam.taylor@example.com", programId: program.id };
  await once(client(AmbassadorService).createAmbassador({ id: "user_123abc", ...person }, caller));
  for (const id of POSTERS) {
    const poster = { id, programId: program.id, studentId: "user_123abc", location: id.split("_").at(-1) };
    await once(client(PosterService).createPoster(poster, caller));
  }
  await seedImpressions(seeding);
  await seedReferral(seeding);
}

async function seedImpressions({ client, caller, now }: Seeding): Promise<void> {
  const next = random(2_000);
  const history = times(next, { now, days: 28, perDay: 14 }).map((at, number) => ({
    id: `imp_demo_${number}`,
    posterId: pick(POSTERS, next()),
    scannedAt: timestampFromMs(at),
    userAgent: pick(AGENTS, next()),
    ipAddress: `198.51.100.${Math.floor(next() * 200)}`,
    metadata: { demo: true },
  }));
  const documented = {
    id: "imp_123abc",
    posterId: "poster_123abc",
    scannedAt: timestampFromDate(new Date("2024-01-15T10:30:00Z")),
    userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)",
    ipAddress: "192.168.1.1",
    metadata: { device_type: "mobile", location: "campus_center" },
  };
  await client(ImpressionService).recordImpressions({ impressions: [documented, ...history] }, caller);
}

async function seedReferral({ client, caller }: Seeding): Promise<void> {
  const person = { firstName: "Alex", lastName: "Kim", email: "alex.kim@example.com" };
  const referral = { id: "ref_123abc", impressionId: "imp_123abc", ...person, idempotencyKey: "demo" };
  await once(client(ReferralService).createReferral(referral, caller));
  const earning = { id: "earn_123abc", referralId: "ref_123abc", amount: 2_500n, idempotencyKey: "demo" };
  await once(client(EarningService).createEarning(earning, caller));
}
