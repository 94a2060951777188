import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type CreateEarningRequest,
  type EarningService,
  EarningStatus,
  type UpdateEarningRequest,
} from "#gen/waymark/impressions/v1/earnings_pb.ts";
import { contextOf, type RequestContext } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { audit } from "./audit.ts";
import { toEarning } from "./messages.ts";
import { type EarningDoc, earningModel, type ReferralDoc, referralModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { changeEarning, newMetadata, pageOf } from "./rules.ts";
import { create, createOnce, getOwn, listOwn, madeWith, revise } from "./store.ts";

/** Earnings of the Impressions API. */
export function earningHandlers(deps: ServiceDeps): ServiceImpl<typeof EarningService> {
  const earnings = deps.store.collection(earningModel);
  return {
    async createEarning(request, handler) {
      return { earning: toEarning(await createEarning(request, handler, deps)) };
    },
    async listEarnings(request, handler) {
      const { referralId, programId, status } = request;
      const { principal } = contextOf(handler);
      const wanted = { filter: { referralId, programId, status }, page: pageOf(request) };
      const { found, total } = await listOwn(earnings, wanted, principal);
      return { earnings: found.map(toEarning), total: BigInt(total) };
    },
    async getEarning({ earningId }, handler) {
      const doc = await getOwn(earnings, earningId, contextOf(handler).principal);
      if (doc === undefined) throw fail("EARNING_NOT_FOUND", { id: earningId });
      return { earning: toEarning(doc) };
    },
    async updateEarning(request, handler) {
      const { principal, now } = contextOf(handler);
      const patch = patchOf(request);
      const decide = (doc: EarningDoc) => changeEarning(doc, patch, now());
      const doc = await revise(earnings, { id: request.earningId, decide }, principal);
      if (doc === undefined) throw fail("EARNING_NOT_FOUND", { id: request.earningId });
      await audit(deps, { action: "earnings.update", object: doc.id }, handler);
      return { earning: toEarning(doc) };
    },
  };
}

async function createEarning(request: CreateEarningRequest, handler: HandlerContext, deps: ServiceDeps) {
  const { store } = deps;
  const context = contextOf(handler);
  const { principal } = context;
  const key = request.idempotencyKey;
  const earlier = key === undefined ? undefined : await madeWith(store, { model: earningModel, key }, principal);
  if (earlier !== undefined) return earlier;
  const metadata = newMetadata(request.metadata);
  const referral = await getOwn(store.collection(referralModel), request.referralId, principal);
  if (referral === undefined) throw fail("UNKNOWN_REFERENCE", { field: "referral_id", noun: "referral" });
  const doc = { ...draftOf(request, referral, context), metadata };
  const made =
    key === undefined
      ? await create(store.collection(earningModel).of(principal.workspace), doc)
      : await createOnce(store, { model: earningModel, key, doc }, principal);
  await audit(deps, { action: "earnings.create", object: made.id }, handler);
  return made;
}

function draftOf(
  request: CreateEarningRequest,
  referral: ReferralDoc,
  { newId, now, principal }: RequestContext,
): Omit<EarningDoc, "metadata"> {
  const status = request.status || EarningStatus.PENDING;
  const at = now();
  return {
    id: request.id ?? newId("earn"),
    referralId: referral.id,
    programId: referral.programId,
    studentId: referral.studentId,
    amount: Number(request.amount ?? 0n),
    currency: request.currency ?? "USD",
    type: request.type,
    status,
    description: request.description || undefined,
    referenceId: request.referenceId || undefined,
    paidAt: status === EarningStatus.PAID ? at : undefined,
    idempotencyKey: request.idempotencyKey,
    test: principal.test,
    createdAt: at,
    updatedAt: at,
  };
}

function patchOf(request: UpdateEarningRequest) {
  const { currency, type, status, description, referenceId, metadata } = request;
  const amount = request.amount === undefined ? undefined : Number(request.amount);
  return { amount, currency, type, status, description, referenceId, metadata };
}
