import { type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  AmbassadorSchema,
  AmbassadorService,
  AmbassadorSummarySchema,
} from "#gen/waymark/impressions/v1/ambassadors_pb.ts";
import {
  type CreateEarningRequestSchema,
  EarningSchema,
  EarningService,
  EarningStatus,
  EarningType,
} from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { ImpressionService } from "#gen/waymark/impressions/v1/impressions_pb.ts";
import { PosterService } from "#gen/waymark/impressions/v1/posters_pb.ts";
import { ProgramService } from "#gen/waymark/impressions/v1/programs_pb.ts";
import {
  type CreateReferralRequestSchema,
  ReferralSchema,
  ReferralService,
  ReferralStatus,
  type UpdateReferralRequestSchema,
} from "#gen/waymark/impressions/v1/referrals_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { auditStandIn } from "../../test/support/audit-stand-in.ts";
import { directoryStandIn } from "../../test/support/directory-stand-in.ts";
import { intakeStandIn } from "../../test/support/intake-stand-in.ts";
import { openServiceGround, type ServiceGround } from "../../test/support/service-ground.ts";
import { impressions } from "./service.ts";

const NOW = Date.UTC(2024, 0, 15, 10, 30);
let ground: ServiceGround;
let trail: string[];

beforeEach(async () => {
  trail = [];
  const neighbours = [intakeStandIn, directoryStandIn(new Map()), auditStandIn(trail)];
  ground = await openServiceGround([impressions, ...neighbours], NOW);
  const by = ground.by();
  const ids = { programId: "prog_123abc", studentId: "user_123abc" };
  const landingUrl = "https://example.com/join";
  await ground.client(ProgramService).createProgram({ id: "prog_123abc", name: "Campus", landingUrl }, by);
  const person = { firstName: "John", lastName: "Doe", email: "john@example.com", programId: "prog_123abc" };
  await ground.client(AmbassadorService).createAmbassador({ id: "user_123abc", ...person }, by);
  await ground.client(PosterService).createPoster({ id: "poster_123abc", ...ids }, by);
  await scan("imp_456def");
  await ground.settle();
});
afterEach(() => ground.close());

async function scan(id: string) {
  const request = { impressions: [{ id, posterId: "poster_123abc" }] };
  await ground.client(ImpressionService).recordImpressions(request, ground.by());
}

const alice = {
  impressionId: "imp_456def",
  firstName: "Alice",
  lastName: "Johnson",
  email: "alice@example.com",
};

async function refer(given: MessageInitShape<typeof CreateReferralRequestSchema> = {}, who: Partial<Principal> = {}) {
  const { referral } = await ground.client(ReferralService).createReferral({ ...alice, ...given }, ground.by(who));
  return toJson(ReferralSchema, referral as never, { useProtoFieldName: true });
}

async function revise(given: MessageInitShape<typeof UpdateReferralRequestSchema>) {
  const { referral } = await ground.client(ReferralService).updateReferral(given, ground.by());
  return toJson(ReferralSchema, referral as never, { useProtoFieldName: true });
}

async function earn(given: MessageInitShape<typeof CreateEarningRequestSchema> = {}) {
  const request = { referralId: "ref_123abc", amount: 1000n, ...given };
  const { earning } = await ground.client(EarningService).createEarning(request, ground.by());
  return toJson(EarningSchema, earning as never, { useProtoFieldName: true, enumAsInteger: false });
}

it("gives the documented referral", async () => {
  const profilePicture = "https://example.com/profiles/alice.jpg";
  const metadata = { source: "poster_qr_code", location: "campus_center" };
  await refer({ id: "ref_123abc", profilePicture, metadata });
  await revise({ referralId: "ref_123abc", status: ReferralStatus.CONVERTED });
  const verifiedAt = timestampFromDate(new Date("2024-01-16T14:20:00Z"));
  expect(await revise({ referralId: "ref_123abc", verifiedAt })).toStrictEqual({
    id: "ref_123abc",
    impression_id: "imp_456def",
    first_name: "Alice",
    last_name: "Johnson",
    email: "alice@example.com",
    profile_picture: "https://example.com/profiles/alice.jpg",
    status: "REFERRAL_STATUS_CONVERTED",
    program_id: "prog_123abc",
    student_id: "user_123abc",
    created_at: "2024-01-15T10:30:00Z",
    verified_at: "2024-01-16T14:20:00Z",
    metadata,
  });
});

it("waits for the impression of a scan that was accepted a moment ago", async () => {
  await scan("imp_new");
  expect(await refer({ impressionId: "imp_new" })).toMatchObject({ status: "REFERRAL_STATUS_PENDING" });
});

it("refuses an impression that does not exist, naming the field", async () => {
  const refusal = { code: Code.InvalidArgument, rawMessage: "impression_id must name an existing impression" };
  await expect(refer({ impressionId: "imp_none" })).rejects.toMatchObject(refusal);
});

it.each([
  ["no email", { email: "" }, "email is required"],
  ["an email that is none", { email: "alice" }, "email must be a valid email address"],
  ["no first name", { firstName: "" }, "first_name is required"],
  [
    "a picture that is no URL",
    { profilePicture: "alice.jpg" },
    "profile_picture must be an http or https URL without spaces",
  ],
])("refuses %s", async (_case, given, rawMessage) => {
  await expect(refer(given)).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage });
});

it("gives the same referral to the same idempotency key, at once and later", async () => {
  const idempotencyKey = "signup_1";
  const made = await Promise.all(Array.from({ length: 8 }, () => refer({ idempotencyKey })));
  const later = await refer({ idempotencyKey, firstName: "Bob" });
  expect(new Set([...made, later].map((one) => JSON.stringify(one))).size).toBe(1);
  const { total } = await ground.client(ReferralService).listReferrals({}, ground.by());
  expect(total).toBe(1n);
});

it("keeps idempotency keys of development keys apart", async () => {
  await refer({ idempotencyKey: "k" });
  const refusal = { rawMessage: "impression_id must name an existing impression" };
  await expect(refer({ idempotencyKey: "k" }, { test: true })).rejects.toMatchObject(refusal);
});

it("lets a key whose first request was refused be used again", async () => {
  await expect(refer({ idempotencyKey: "k", impressionId: "imp_none" })).rejects.toThrow();
  expect(await refer({ idempotencyKey: "k" })).toMatchObject({ impression_id: "imp_456def" });
});

it("refuses a taken id", async () => {
  await refer({ id: "ref_1" });
  await expect(refer({ id: "ref_1" })).rejects.toMatchObject({ code: Code.AlreadyExists });
  await expect(refer({ id: "ref_1", idempotencyKey: "k" })).rejects.toMatchObject({ code: Code.AlreadyExists });
});

it("sets verified_at to now when a referral becomes verified", async () => {
  await refer({ id: "ref_1" });
  ground.clock.now = NOW + 60_000;
  const verified = await revise({ referralId: "ref_1", status: ReferralStatus.VERIFIED, metadata: { a: 1 } });
  expect(verified).toMatchObject({ verified_at: "2024-01-15T10:31:00Z", metadata: { a: 1 }, first_name: "Alice" });
});

it("loses no change of several at the same time", async () => {
  await refer({ id: "ref_1" });
  const changes = Array.from({ length: 4 }, (_, i) => revise({ referralId: "ref_1", metadata: { [`m${i}`]: i } }));
  await Promise.all(changes);
  const { referral } = await ground.client(ReferralService).getReferral({ referralId: "ref_1" }, ground.by());
  expect(referral?.metadata).toStrictEqual({ m0: 0, m1: 1, m2: 2, m3: 3 });
});

it("filters referrals by program, student and status", async () => {
  await refer({ id: "ref_1" });
  await refer({ id: "ref_2" });
  await revise({ referralId: "ref_2", status: ReferralStatus.REJECTED });
  const ids = async (query: object) => {
    const reply = await ground.client(ReferralService).listReferrals(query, ground.by());
    expect(reply.total).toBe(BigInt(reply.referrals.length));
    return reply.referrals.map(({ id }) => id);
  };
  expect(await ids({ programId: "prog_123abc", studentId: "user_123abc" })).toStrictEqual(["ref_1", "ref_2"]);
  expect(await ids({ programId: "prog_123abc", status: ReferralStatus.REJECTED })).toStrictEqual(["ref_2"]);
  expect(await ids({ programId: "x" })).toStrictEqual([]);
});

it("gives the documented earning", async () => {
  await refer({ id: "ref_123abc" });
  const metadata = { order_id: "order_12345", commission_rate: "10%" };
  const description = "Commission from customer purchase - Order #12345";
  const made = await earn({ id: "earn_123abc", type: EarningType.PURCHASE, description, metadata });
  expect(made).toMatchObject({ status: "EARNING_STATUS_PENDING", currency: "USD" });
  ground.clock.now = Date.UTC(2024, 0, 20, 14, 20);
  const change = { earningId: "earn_123abc", status: EarningStatus.PAID, referenceId: "payout_456def" };
  const { earning } = await ground.client(EarningService).updateEarning(change, ground.by());
  expect(toJson(EarningSchema, earning as never, { useProtoFieldName: true })).toStrictEqual({
    id: "earn_123abc",
    referral_id: "ref_123abc",
    amount: "1000",
    currency: "USD",
    type: "EARNING_TYPE_PURCHASE",
    description,
    status: "EARNING_STATUS_PAID",
    reference_id: "payout_456def",
    created_at: "2024-01-15T10:30:00Z",
    paid_at: "2024-01-20T14:20:00Z",
    metadata,
  });
});

it.each([
  ["an unknown referral", { referralId: "x" }, "referral_id must name an existing referral"],
  ["a negative amount", { amount: -1n }, /^amount must be/],
  ["no amount", { amount: undefined }, "amount is required"],
  ["a currency in lower case", { currency: "usd" }, "currency must be an ISO 4217 code: three capital letters"],
])("refuses an earning with %s", async (_case, given, message) => {
  await refer({ id: "ref_123abc" });
  const refusal = { code: Code.InvalidArgument, rawMessage: expect.stringMatching(message) };
  await expect(earn(given)).rejects.toMatchObject(refusal);
});

it("gives the same earning to the same idempotency key, and takes an amount of 0", async () => {
  await refer({ id: "ref_123abc" });
  const first = await earn({ idempotencyKey: "order_1", amount: 0n });
  expect(await earn({ idempotencyKey: "order_1", amount: 5n })).toStrictEqual(first);
});

it("filters earnings by referral, program and status", async () => {
  await refer({ id: "ref_123abc" });
  await earn({ id: "earn_1" });
  await earn({ id: "earn_2", status: EarningStatus.PAID });
  const ids = async (query: object) =>
    (await ground.client(EarningService).listEarnings(query, ground.by())).earnings.map(({ id }) => id);
  expect(await ids({ referralId: "ref_123abc", programId: "prog_123abc" })).toStrictEqual(["earn_1", "earn_2"]);
  expect(await ids({ status: EarningStatus.PAID })).toStrictEqual(["earn_2"]);
  expect(await ids({ referralId: "x" })).toStrictEqual([]);
});

it("tells the audit trail what was created and changed, once", async () => {
  await refer({ id: "ref_123abc", idempotencyKey: "k" });
  await refer({ idempotencyKey: "k" });
  await revise({ referralId: "ref_123abc", firstName: "Bob" });
  await earn({ id: "earn_1" });
  expect(trail).toStrictEqual([
    "programs.create prog_123abc",
    "users.create user_123abc",
    "posters.create poster_123abc",
    "referrals.create ref_123abc",
    "referrals.update ref_123abc",
    "earnings.create earn_1",
  ]);
});

it("gives users in full by id and in short in lists", async () => {
  const { user } = await ground.client(AmbassadorService).getAmbassador({ userId: "user_123abc" }, ground.by());
  const short = { id: "user_123abc", firstName: "John", lastName: "Doe", email: "john@example.com" };
  const createdAt = timestampFromMs(NOW);
  expect(user).toMatchObject({ $typeName: AmbassadorSchema.typeName, ...short, metadata: {}, updatedAt: createdAt });
  const { users } = await ground.client(AmbassadorService).listAmbassadors({ programId: "prog_123abc" }, ground.by());
  expect(users).toMatchObject([{ $typeName: AmbassadorSummarySchema.typeName, ...short, createdAt }]);
});
