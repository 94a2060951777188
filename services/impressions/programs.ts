import type { ServiceImpl } from "@connectrpc/connect";
import type { ProgramService } from "#gen/waymark/impressions/v1/programs_pb.ts";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { audit } from "./audit.ts";
import { toProgram } from "./messages.ts";
import { type ProgramDoc, programModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { checkUrl, mergeMetadata, newMetadata, pageOf } from "./rules.ts";
import { create, getOwn, listOwn, revise } from "./store.ts";
import { leadPostersTo } from "./targets.ts";

/** Programs of the Impressions API. */
export function programHandlers(deps: ServiceDeps): ServiceImpl<typeof ProgramService> {
  const programs = deps.store.collection(programModel);
  return {
    async createProgram(request, handler) {
      const { principal, newId, now } = contextOf(handler);
      const { name, landingUrl } = request;
      checkUrl("landing_url", landingUrl);
      const at = now();
      const doc: ProgramDoc = {
        id: request.id ?? newId("prog"),
        name,
        landingUrl,
        metadata: newMetadata(request.metadata),
        test: principal.test,
        createdAt: at,
        updatedAt: at,
      };
      await create(programs.of(principal.workspace), doc);
      await audit(deps, { action: "programs.create", object: doc.id }, handler);
      return { program: toProgram(doc) };
    },
    async listPrograms(request, handler) {
      const { principal } = contextOf(handler);
      const { found, total } = await listOwn(programs, { filter: {}, page: pageOf(request) }, principal);
      return { programs: found.map(toProgram), total: BigInt(total) };
    },
    async getProgram({ programId }, handler) {
      const doc = await getOwn(programs, programId, contextOf(handler).principal);
      if (doc === undefined) throw fail("PROGRAM_NOT_FOUND", { id: programId });
      return { program: toProgram(doc) };
    },
    async updateProgram({ programId, name, landingUrl, metadata }, handler) {
      const { principal, now } = contextOf(handler);
      if (landingUrl !== undefined) checkUrl("landing_url", landingUrl);
      const decide = (doc: ProgramDoc) => ({
        set: {
          updatedAt: now(),
          ...(name !== undefined && { name }),
          ...(landingUrl !== undefined && { landingUrl }),
          ...(metadata !== undefined && { metadata: mergeMetadata(doc.metadata, metadata) }),
        },
      });
      const doc = await revise(programs, { id: programId, decide }, principal);
      if (doc === undefined) throw fail("PROGRAM_NOT_FOUND", { id: programId });
      if (landingUrl !== undefined) await leadPostersTo(doc, handler, deps);
      await audit(deps, { action: "programs.update", object: doc.id }, handler);
      return { program: toProgram(doc) };
    },
  };
}
