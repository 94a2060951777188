import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import type { RequestContext } from "#runtime/context.ts";
import { as, internalPrincipal } from "#runtime/internal.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { TagDoc } from "./model.ts";
import { isMedical } from "./rules.ts";

const DEADLINE_MS = 300;

/**
 * Records the touch of a tag in the name of its workspace. Resolves when it is durable, when that failed, or after 300 ms:
 * a finder's answer never depends on it. What intake refuses or sheds is counted there.
 */
export async function recordTouch(
  deps: ServiceDeps,
  { context, workspace, tag }: { context: RequestContext; workspace: string; tag: TagDoc },
): Promise<void> {
  const { ip, userAgent, method = "" } = context;
  const purpose = isMedical(tag) ? Purpose.MEDICAL : Purpose.LOST_AND_FOUND;
  const owner = { ...context, principal: { ...internalPrincipal(workspace), test: tag.test } };
  const touches = [{ purpose, codeId: tag.id, ip, userAgent, method }];
  try {
    await deps.client(IntakeService).recordTouches({ touches }, { ...as(owner), timeoutMs: DEADLINE_MS });
  } catch {
    // Said above: the answer does not depend on it.
  }
}
