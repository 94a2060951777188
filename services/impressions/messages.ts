import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import type { AmbassadorSchema, AmbassadorSummarySchema } from "#gen/waymark/impressions/v1/ambassadors_pb.ts";
import type { EarningSchema } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import type { ImpressionInput, ImpressionSchema } from "#gen/waymark/impressions/v1/impressions_pb.ts";
import type { PosterSchema } from "#gen/waymark/impressions/v1/posters_pb.ts";
import type { ProgramSchema } from "#gen/waymark/impressions/v1/programs_pb.ts";
import type { ReferralSchema } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import { type TouchInput, TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import type { AmbassadorDoc, EarningDoc, ImpressionDoc, PosterDoc, ProgramDoc, ReferralDoc } from "./model.ts";
import type { Scan } from "./rules.ts";

/** Milliseconds of a time, or undefined. */
export function msOf(time: Timestamp | undefined): number | undefined {
  return time === undefined ? undefined : timestampMs(time);
}

function timeOf(ms: number | undefined): Timestamp | undefined {
  return ms === undefined ? undefined : timestampFromMs(ms);
}

/** A program as its API shows it. */
export function toProgram(doc: ProgramDoc): MessageInitShape<typeof ProgramSchema> {
  const { id, name, landingUrl, metadata } = doc;
  return { id, name, landingUrl, metadata, createdAt: timeOf(doc.createdAt), updatedAt: timeOf(doc.updatedAt) };
}

/** An ambassador in full. */
export function toAmbassador(doc: AmbassadorDoc): MessageInitShape<typeof AmbassadorSchema> {
  const { profilePicture, metadata } = doc;
  return { ...toAmbassadorSummary(doc), profilePicture, metadata, updatedAt: timeOf(doc.updatedAt) };
}

/** An ambassador as in lists. */
export function toAmbassadorSummary(doc: AmbassadorDoc) {
  const { id, firstName, lastName, email, programId } = doc;
  return { id, firstName, lastName, email, programId, createdAt: timeOf(doc.createdAt) } satisfies MessageInitShape<
    typeof AmbassadorSummarySchema
  >;
}

/** A poster in full. With a public URL set, its addresses are of that base, whatever it was when the poster was made. */
export function toPoster(doc: PosterDoc, publicUrl: string | undefined): MessageInitShape<typeof PosterSchema> {
  return { ...toPosterSummary(doc, publicUrl), updatedAt: timeOf(doc.updatedAt) };
}

/** A poster as in lists. */
export function toPosterSummary(doc: PosterDoc, publicUrl: string | undefined) {
  const { id, programId, studentId, location, metadata, shortId } = doc;
  return {
    id,
    programId,
    studentId,
    qrCodeUrl: publicUrl === undefined ? doc.qrCodeUrl : `${publicUrl}/qr/${shortId}.png`,
    scanUrl: publicUrl === undefined ? doc.scanUrl : `${publicUrl}/s/${shortId}`,
    location,
    metadata,
    createdAt: timeOf(doc.createdAt),
  } satisfies MessageInitShape<typeof PosterSchema>;
}

/** An impression as its API shows it. */
export function toImpression(doc: ImpressionDoc): MessageInitShape<typeof ImpressionSchema> {
  const { id, posterId, programId, studentId, userAgent, ipAddress, metadata } = doc;
  return { id, posterId, programId, studentId, scannedAt: timeOf(doc.scannedAt), userAgent, ipAddress, metadata };
}

/** An incoming impression as the rules judge it. */
export function fromImpressionInput(input: ImpressionInput): Scan {
  const { id, posterId, userAgent, ipAddress, metadata } = input;
  return { id, posterId, at: msOf(input.scannedAt), userAgent, ipAddress, metadata };
}

/** An incoming impression as intake takes it. */
export function toTouchInput(scan: Scan, poster: PosterDoc): TouchInput {
  return create(TouchInputSchema, {
    id: scan.id ?? "",
    purpose: Purpose.AMBASSADOR,
    codeId: poster.id,
    shortId: poster.shortId,
    parentId: poster.programId,
    ownerId: poster.studentId,
    scannedAt: timeOf(scan.at),
    ip: scan.ipAddress ?? "",
    userAgent: scan.userAgent ?? "",
    metadata: { ...poster.metadata, ...scan.metadata },
  });
}

/** A referral as its API shows it. */
export function toReferral(doc: ReferralDoc): MessageInitShape<typeof ReferralSchema> {
  const { id, impressionId, firstName, lastName, email, profilePicture, status, programId, studentId, metadata } = doc;
  return {
    id,
    impressionId,
    firstName,
    lastName,
    email,
    profilePicture,
    status,
    programId,
    studentId,
    metadata,
    createdAt: timeOf(doc.createdAt),
    verifiedAt: timeOf(doc.verifiedAt),
  };
}

/** An earning as its API shows it. */
export function toEarning(doc: EarningDoc): MessageInitShape<typeof EarningSchema> {
  const { id, referralId, currency, type, description, status, referenceId, metadata } = doc;
  return {
    id,
    referralId,
    amount: BigInt(doc.amount),
    currency,
    type,
    description,
    status,
    referenceId,
    metadata,
    createdAt: timeOf(doc.createdAt),
    paidAt: timeOf(doc.paidAt),
  };
}
