import type { HandlerContext } from "@connectrpc/connect";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import type { ServiceDeps } from "#runtime/service.ts";

const TIMEOUT_MS = 1000;

/** Tells the audit trail what was done. A trail out of reach does not undo what is stored. */
export async function audit(
  deps: Pick<ServiceDeps, "client">,
  item: { action: string; object: string },
  handler: HandlerContext,
): Promise<void> {
  const options = { contextValues: handler.values, timeoutMs: TIMEOUT_MS };
  const appended = deps.client(AuthorityService).appendAudit({ items: [{ ...item, outcome: "ok" }] }, options);
  await appended.catch(() => undefined);
}
