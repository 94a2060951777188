import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type CreateReferralRequest,
  type ReferralService,
  ReferralStatus,
  type UpdateReferralRequest,
} from "#gen/waymark/impressions/v1/referrals_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { awaitImpression } from "./arrival.ts";
import { audit } from "./audit.ts";
import { msOf, toReferral } from "./messages.ts";
import { type ImpressionDoc, type ReferralDoc, referralModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { changeReferral, checkUrl, newMetadata, pageOf } from "./rules.ts";
import { create, createOnce, getOwn, listOwn, madeWith, revise } from "./store.ts";

/** Referrals of the Impressions API. */
export function referralHandlers(deps: ServiceDeps): ServiceImpl<typeof ReferralService> {
  const referrals = deps.store.collection(referralModel);
  return {
    async createReferral(request, handler) {
      return { referral: toReferral(await createReferral(request, handler, deps)) };
    },
    async listReferrals(request, handler) {
      const { programId, studentId, status } = request;
      const { principal } = contextOf(handler);
      const wanted = { filter: { programId, studentId, status }, page: pageOf(request) };
      const { found, total } = await listOwn(referrals, wanted, principal);
      return { referrals: found.map(toReferral), total: BigInt(total) };
    },
    async getReferral({ referralId }, handler) {
      const doc = await getOwn(referrals, referralId, contextOf(handler).principal);
      if (doc === undefined) throw fail("REFERRAL_NOT_FOUND", { id: referralId });
      return { referral: toReferral(doc) };
    },
    async updateReferral(request, handler) {
      const { principal, now } = contextOf(handler);
      if (request.profilePicture) checkUrl("profile_picture", request.profilePicture);
      const patch = patchOf(request);
      const decide = (doc: ReferralDoc) => changeReferral(doc, patch, now());
      const doc = await revise(referrals, { id: request.referralId, decide }, principal);
      if (doc === undefined) throw fail("REFERRAL_NOT_FOUND", { id: request.referralId });
      await audit(deps, { action: "referrals.update", object: doc.id }, handler);
      return { referral: toReferral(doc) };
    },
  };
}

async function createReferral(request: CreateReferralRequest, handler: HandlerContext, deps: ServiceDeps) {
  const { store } = deps;
  const context = contextOf(handler);
  const { principal } = context;
  const key = request.idempotencyKey;
  const earlier = key === undefined ? undefined : await madeWith(store, { model: referralModel, key }, principal);
  if (earlier !== undefined) return earlier;
  if (request.profilePicture) checkUrl("profile_picture", request.profilePicture);
  const metadata = newMetadata(request.metadata);
  const impression = await awaitImpression(request.impressionId, store, handler);
  if (impression === undefined) throw fail("UNKNOWN_REFERENCE", { field: "impression_id", noun: "impression" });
  const doc = { ...draftOf(request, impression, context), metadata };
  const made =
    key === undefined
      ? await create(store.collection(referralModel).of(principal.workspace), doc)
      : await createOnce(store, { model: referralModel, key, doc }, principal);
  await audit(deps, { action: "referrals.create", object: made.id }, handler);
  return made;
}

function draftOf(
  request: CreateReferralRequest,
  impression: ImpressionDoc,
  { newId, now, principal }: RequestContext,
): Omit<ReferralDoc, "metadata"> {
  const at = now();
  return {
    id: request.id ?? newId("ref"),
    impressionId: impression.id,
    posterId: impression.posterId,
    programId: impression.programId,
    studentId: impression.studentId,
    firstName: request.firstName,
    lastName: request.lastName,
    email: request.email,
    profilePicture: request.profilePicture || undefined,
    status: ReferralStatus.PENDING,
    idempotencyKey: request.idempotencyKey,
    test: principal.test,
    createdAt: at,
    updatedAt: at,
  };
}

function patchOf(request: UpdateReferralRequest) {
  const { firstName, lastName, email, profilePicture, status, metadata } = request;
  return { firstName, lastName, email, profilePicture, status, metadata, verifiedAt: msOf(request.verifiedAt) };
}
