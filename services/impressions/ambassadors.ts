import type { ServiceImpl } from "@connectrpc/connect";
import type { AmbassadorService } from "#gen/waymark/impressions/v1/ambassadors_pb.ts";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { audit } from "./audit.ts";
import { toAmbassador, toAmbassadorSummary } from "./messages.ts";
import { type AmbassadorDoc, ambassadorModel, programModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { checkUrl, newMetadata, pageOf } from "./rules.ts";
import { create, getOwn, listOwn } from "./store.ts";

/** Ambassadors, the users of the Impressions API. */
export function ambassadorHandlers(deps: ServiceDeps): ServiceImpl<typeof AmbassadorService> {
  const { store } = deps;
  const ambassadors = store.collection(ambassadorModel);
  return {
    async createAmbassador(request, handler) {
      const { principal, newId, now } = contextOf(handler);
      const { programId, firstName, lastName, email } = request;
      const profilePicture = request.profilePicture || undefined;
      if (profilePicture !== undefined) checkUrl("profile_picture", profilePicture);
      const metadata = newMetadata(request.metadata);
      if ((await getOwn(store.collection(programModel), programId, principal)) === undefined)
        throw fail("UNKNOWN_REFERENCE", { field: "program_id", noun: "program" });
      const at = now();
      const about = {
        id: request.id ?? newId("user"),
        programId,
        firstName,
        lastName,
        email,
        profilePicture,
        metadata,
      };
      const doc: AmbassadorDoc = { ...about, test: principal.test, createdAt: at, updatedAt: at };
      await create(ambassadors.of(principal.workspace), doc);
      await audit(deps, { action: "users.create", object: doc.id }, handler);
      return { user: toAmbassador(doc) };
    },
    async listAmbassadors(request, handler) {
      const { programId } = request;
      const { principal } = contextOf(handler);
      const { found, total } = await listOwn(ambassadors, { filter: { programId }, page: pageOf(request) }, principal);
      return { users: found.map(toAmbassadorSummary), total: BigInt(total) };
    },
    async getAmbassador({ userId }, handler) {
      const doc = await getOwn(ambassadors, userId, contextOf(handler).principal);
      if (doc === undefined) throw fail("AMBASSADOR_NOT_FOUND", { id: userId });
      return { user: toAmbassador(doc) };
    },
  };
}
