import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { DirectoryService, type Target, type TargetSchema } from "#gen/waymark/codes/v1/directory_pb.ts";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { forward } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { PosterDoc, ProgramDoc } from "./model.ts";
import { fail } from "./reasons.ts";

/** What a poster's code is made from. */
type Poster = Pick<PosterDoc, "id" | "programId" | "studentId" | "location" | "metadata">;

/** The landing page of the program, with the id of the scan added. */
function targetOf(poster: Poster, program: ProgramDoc): MessageInitShape<typeof TargetSchema> {
  return {
    codeId: poster.id,
    purpose: Purpose.AMBASSADOR,
    destination: program.landingUrl,
    parentId: poster.programId,
    ownerId: poster.studentId,
    name: poster.location ?? poster.id,
    metadata: poster.metadata,
    touchParameter: "impression_id",
  };
}

/** Makes the code behind a poster, or gives the one that it has; refuses an id that another code has. */
export async function makeCode(poster: Poster, program: ProgramDoc, handler: HandlerContext, deps: ServiceDeps) {
  try {
    const request = { target: targetOf(poster, program) };
    const { target, scanUrl, qrImageUrl } = await deps.client(DirectoryService).createTarget(request, forward(handler));
    if (target === undefined || !isOf(target, poster)) throw fail("ID_TAKEN", { field: "id", id: poster.id });
    return { destination: target.destination, shortId: target.shortId, scanUrl, qrCodeUrl: qrImageUrl };
  } catch (cause) {
    if (cause instanceof ConnectError && cause.code === Code.AlreadyExists)
      throw fail("ID_TAKEN", { field: "id", id: poster.id }, cause);
    throw cause;
  }
}

function isOf(target: Target, { programId, studentId }: Poster): boolean {
  return target.purpose === Purpose.AMBASSADOR && target.parentId === programId && target.ownerId === studentId;
}

/** Makes the codes of all posters of the program lead to its landing page. Safe to repeat. */
export async function leadPostersTo(program: ProgramDoc, handler: HandlerContext, deps: ServiceDeps): Promise<void> {
  const request = { parentId: program.id, destination: program.landingUrl };
  await deps.client(DirectoryService).updateTargets(request, forward(handler));
}
