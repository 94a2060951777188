import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { CreatePosterRequest, PosterService } from "#gen/waymark/impressions/v1/posters_pb.ts";
import { contextOf, type Principal } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { audit } from "./audit.ts";
import { toPoster, toPosterSummary } from "./messages.ts";
import { ambassadorModel, type PosterDoc, type ProgramDoc, posterModel, programModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { newMetadata, pageOf } from "./rules.ts";
import { create, getOwn, listOwn } from "./store.ts";
import { leadPostersTo, makeCode } from "./targets.ts";

/** Posters of the Impressions API. */
export function posterHandlers(deps: ServiceDeps): ServiceImpl<typeof PosterService> {
  const posters = deps.store.collection(posterModel);
  const { publicUrl } = deps.config;
  return {
    async createPoster(request, handler) {
      return { poster: toPoster(await createPoster(request, handler, deps), publicUrl) };
    },
    async listPosters(request, handler) {
      const { programId, studentId } = request;
      const { principal } = contextOf(handler);
      const wanted = { filter: { programId, studentId }, page: pageOf(request) };
      const { found, total } = await listOwn(posters, wanted, principal);
      return { posters: found.map((doc) => toPosterSummary(doc, publicUrl)), total: BigInt(total) };
    },
    async getPoster({ posterId }, handler) {
      const doc = await getOwn(posters, posterId, contextOf(handler).principal);
      if (doc === undefined) throw fail("POSTER_NOT_FOUND", { id: posterId });
      return { poster: toPoster(doc, publicUrl) };
    },
  };
}

/** The code is made before the poster is stored: a poster without a code is never seen, and a retry finds the code again. */
async function createPoster(request: CreatePosterRequest, handler: HandlerContext, deps: ServiceDeps) {
  const { principal, newId, now } = contextOf(handler);
  const program = await programOf(request, deps, principal);
  const posters = deps.store.collection(posterModel).of(principal.workspace);
  const { programId, studentId, location } = request;
  const id = request.id ?? newId("poster");
  if (request.id !== undefined && (await posters.get(id)) !== undefined) throw fail("ID_TAKEN", { field: "id", id });
  const metadata = newMetadata(request.metadata);
  const about = { id, programId, studentId, location: location || undefined, metadata };
  const { destination, ...code } = await makeCode(about, program, handler, deps);
  const at = now();
  const doc: PosterDoc = { ...about, ...code, test: principal.test, createdAt: at, updatedAt: at };
  await create(posters, doc);
  const current = await deps.store.collection(programModel).of(principal.workspace).get(programId);
  // The program may have changed beside this call, or since a call that made the code and then failed.
  if (current !== undefined && current.landingUrl !== destination) await leadPostersTo(current, handler, deps);
  await audit(deps, { action: "posters.create", object: id }, handler);
  return doc;
}

async function programOf(
  { programId, studentId }: { programId: string; studentId: string },
  { store }: ServiceDeps,
  principal: Principal,
): Promise<ProgramDoc> {
  const [program, ambassador] = await Promise.all([
    getOwn(store.collection(programModel), programId, principal),
    getOwn(store.collection(ambassadorModel), studentId, principal),
  ]);
  if (program === undefined) throw fail("UNKNOWN_REFERENCE", { field: "program_id", noun: "program" });
  if (ambassador === undefined) throw fail("UNKNOWN_REFERENCE", { field: "student_id", noun: "user" });
  if (ambassador.programId !== programId) throw fail("WRONG_PROGRAM", { field: "student_id", programId });
  return program;
}
