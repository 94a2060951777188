import type { JsonObject } from "@bufbuild/protobuf";
import type { EarningStatus, EarningType } from "#gen/waymark/impressions/v1/earnings_pb.ts";
import type { ReferralStatus } from "#gen/waymark/impressions/v1/referrals_pb.ts";
import { type Doc, defineModel } from "#runtime/model.ts";

/** What all objects that are created through the API have. */
export interface Owned extends Doc {
  /** Written by a development key, and seen by such keys only. */
  test: boolean;
  createdAt: number;
  updatedAt: number;
}

/** A program as stored. */
export interface ProgramDoc extends Owned {
  name: string;
  landingUrl: string;
  metadata: JsonObject;
}

/** An ambassador as stored. */
export interface AmbassadorDoc extends Owned {
  programId: string;
  firstName: string;
  lastName: string;
  email: string;
  profilePicture?: string | undefined;
  metadata: JsonObject;
}

/** A poster as stored. */
export interface PosterDoc extends Owned {
  programId: string;
  studentId: string;
  location?: string | undefined;
  metadata: JsonObject;
  /** The printed short id of its code. */
  shortId: string;
  /** As codes named them when the poster was made. */
  scanUrl: string;
  qrCodeUrl: string;
}

/** An impression as stored; its id is that of the touch. */
export interface ImpressionDoc extends Doc {
  posterId: string;
  programId: string;
  studentId: string;
  scannedAt: number;
  userAgent?: string | undefined;
  ipAddress?: string | undefined;
  metadata: JsonObject;
  test: boolean;
  /** The log position that made it; another one with the same id is a duplicate. */
  position: number;
}

/** How many impressions there are of one partition of the log, of all, of a program or of a poster: see `totals.ts`. */
export interface TotalDoc extends Doc {
  total: number;
  /** All impressions of the partition up to this log position are in. */
  position: number;
}

/** A referral as stored. */
export interface ReferralDoc extends Owned {
  impressionId: string;
  posterId: string;
  programId: string;
  studentId: string;
  firstName: string;
  lastName: string;
  email: string;
  profilePicture?: string | undefined;
  status: ReferralStatus;
  verifiedAt?: number | undefined;
  metadata: JsonObject;
  idempotencyKey?: string | undefined;
}

/** An earning as stored. */
export interface EarningDoc extends Owned {
  referralId: string;
  programId: string;
  studentId: string;
  amount: number;
  currency: string;
  type: EarningType;
  status: EarningStatus;
  description?: string | undefined;
  referenceId?: string | undefined;
  paidAt?: number | undefined;
  metadata: JsonObject;
  idempotencyKey?: string | undefined;
}

/** Which object an idempotency key stands for: see `claim` in `store.ts`. */
export interface ClaimDoc extends Doc {
  objectId: string;
}

const owned = {
  test: { kind: "boolean", default: false },
  createdAt: { kind: "number", required: true },
  updatedAt: { kind: "number", required: true },
} as const;
const text = { kind: "string", required: true } as const;
const maybe = { kind: "string" } as const;
const number = { kind: "number", required: true } as const;
const metadata = { kind: "object", required: true } as const;

/** Programs. */
export const programModel = defineModel<ProgramDoc>({
  name: "impressions.programs",
  fields: { name: text, landingUrl: text, metadata, ...owned },
  indexes: [{ name: "created", fields: ["test", "createdAt"] }],
});

/** Ambassadors. */
export const ambassadorModel = defineModel<AmbassadorDoc>({
  name: "impressions.ambassadors",
  fields: { programId: text, firstName: text, lastName: text, email: text, profilePicture: maybe, metadata, ...owned },
  indexes: [
    { name: "created", fields: ["test", "createdAt"] },
    { name: "program", fields: ["test", "programId", "createdAt"] },
  ],
});

/** Posters. */
export const posterModel = defineModel<PosterDoc>({
  name: "impressions.posters",
  fields: {
    programId: text,
    studentId: text,
    location: maybe,
    metadata,
    shortId: text,
    scanUrl: text,
    qrCodeUrl: text,
    ...owned,
  },
  indexes: [
    { name: "created", fields: ["test", "createdAt"] },
    { name: "program", fields: ["test", "programId", "createdAt"] },
    { name: "student", fields: ["test", "studentId", "createdAt"] },
  ],
});

/** Impressions. */
export const impressionModel = defineModel<ImpressionDoc>({
  name: "impressions.impressions",
  fields: {
    posterId: text,
    programId: text,
    studentId: text,
    scannedAt: number,
    userAgent: maybe,
    ipAddress: maybe,
    metadata,
    test: { kind: "boolean", default: false },
    position: number,
  },
  indexes: [
    { name: "scanned", fields: ["test", "scannedAt"] },
    { name: "program", fields: ["test", "programId", "scannedAt"] },
    { name: "poster", fields: ["test", "posterId", "scannedAt"] },
  ],
});

/** Totals of impressions. */
export const totalModel = defineModel<TotalDoc>({
  name: "impressions.totals",
  fields: { total: { kind: "number", default: 0 }, position: number },
  indexes: [],
});

/** Referrals. */
export const referralModel = defineModel<ReferralDoc>({
  name: "impressions.referrals",
  fields: {
    impressionId: text,
    posterId: text,
    programId: text,
    studentId: text,
    firstName: text,
    lastName: text,
    email: text,
    profilePicture: maybe,
    status: number,
    verifiedAt: { kind: "number" },
    metadata,
    idempotencyKey: maybe,
    ...owned,
  },
  indexes: [
    { name: "created", fields: ["test", "createdAt"] },
    { name: "program", fields: ["test", "programId", "createdAt"] },
    { name: "student", fields: ["test", "studentId", "createdAt"] },
    { name: "status", fields: ["test", "status", "createdAt"] },
  ],
});

/** Earnings. */
export const earningModel = defineModel<EarningDoc>({
  name: "impressions.earnings",
  fields: {
    referralId: text,
    programId: text,
    studentId: text,
    amount: number,
    currency: text,
    type: number,
    status: number,
    description: maybe,
    referenceId: maybe,
    paidAt: { kind: "number" },
    metadata,
    idempotencyKey: maybe,
    ...owned,
  },
  indexes: [
    { name: "created", fields: ["test", "createdAt"] },
    { name: "referral", fields: ["test", "referralId", "createdAt"] },
    { name: "program", fields: ["test", "programId", "createdAt"] },
    { name: "status", fields: ["test", "status", "createdAt"] },
  ],
});

/** Idempotency keys. */
export const claimModel = defineModel<ClaimDoc>({
  name: "impressions.claims",
  fields: { objectId: text },
  indexes: [],
});

/** Everything that the service stores. */
export const impressionsModels = [
  programModel,
  ambassadorModel,
  posterModel,
  impressionModel,
  totalModel,
  referralModel,
  earningModel,
  claimModel,
] as const;
