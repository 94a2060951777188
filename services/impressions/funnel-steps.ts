import { EarningStatus } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { ReferralStatus } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import type { Principal } from "#runtime/context.ts";
import { percentOf } from "#runtime/percent.ts";
import type { Store } from "#runtime/store.ts";
import { earningModel, type ImpressionDoc, impressionModel, type ReferralDoc, referralModel } from "./model.ts";

/** When impressions were scanned: from a time, until before another, milliseconds since 1970. */
export interface Window {
  since: number | undefined;
  until: number | undefined;
}

/** Condition of impressions that were scanned in a window. */
export function scannedIn({ since, until }: Window): { scannedAt?: { gte?: number; lt?: number } } {
  if (since === undefined && until === undefined) return {};
  return { scannedAt: { ...(since !== undefined && { gte: since }), ...(until !== undefined && { lt: until }) } };
}

/** Numbers of a funnel. */
export interface Steps {
  impressions: number;
  referrals: number;
  converted: number;
  verified: number;
  rejected: number;
  /** By currency, in cents. */
  earnings: Map<string, { amount: number; count: number }>;
}

/** Steps as the API shows them; rates are percent, rounded to two decimals. */
export function toSteps({ impressions, referrals, converted, verified, rejected, earnings }: Steps) {
  return {
    impressions: BigInt(impressions),
    referrals: BigInt(referrals),
    converted: BigInt(converted),
    verified: BigInt(verified),
    rejected: BigInt(rejected),
    referralRate: percentOf(referrals, impressions),
    conversionRate: percentOf(converted, referrals),
    verificationRate: percentOf(verified, referrals),
    overallRate: percentOf(verified, impressions),
    earnings: [...earnings]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([currency, { amount, count }]) => ({ currency, amount: BigInt(amount), count: BigInt(count) })),
  };
}

/** The impression of a referral. */
export type Met = Pick<ImpressionDoc, "posterId" | "studentId" | "scannedAt">;

/** Reads all referrals of a program whose impression is in the window, and counts each in the steps that `of` names. */
export async function walkReferrals(
  asked: { programId: string; window: Window; store: Store; principal: Principal },
  of: (met: Met) => readonly Steps[],
): Promise<void> {
  const { programId, window, store, principal } = asked;
  const { workspace, test } = principal;
  const impressions = store.collection(impressionModel).of(workspace);
  const earnings = store.collection(earningModel).of(workspace);
  const byCreation = { where: { test, programId }, sort: [["createdAt", 1]] } as const;
  for await (const some of store.collection(referralModel).of(workspace).stream(byCreation)) {
    const met = await impressions.getMany(some.map(({ impressionId }) => impressionId));
    const counted = new Map<string, readonly Steps[]>();
    for (const referral of some) {
      const impression = met.get(referral.impressionId);
      if (impression === undefined || !isWithin(impression, window)) continue;
      const steps = of(impression);
      counted.set(referral.id, steps);
      for (const one of steps) count(one, referral);
    }
    const ids = [...counted.keys()];
    if (ids.length === 0) continue;
    for (const { referralId, currency, amount, status } of await earnings.find({
      where: { test, referralId: { in: ids } },
    })) {
      if (status === EarningStatus.FAILED) continue;
      for (const { earnings: sums } of counted.get(referralId) ?? []) {
        const sum = sums.get(currency) ?? { amount: 0, count: 0 };
        sums.set(currency, { amount: sum.amount + amount, count: sum.count + 1 });
      }
    }
  }
}

function isWithin({ scannedAt }: Met, { since, until }: Window): boolean {
  return (since === undefined || scannedAt >= since) && (until === undefined || scannedAt < until);
}

function count(steps: Steps, { status }: ReferralDoc): void {
  steps.referrals += 1;
  if (status === ReferralStatus.CONVERTED) steps.converted += 1;
  if (status === ReferralStatus.VERIFIED) steps.verified += 1;
  if (status === ReferralStatus.REJECTED) steps.rejected += 1;
}
