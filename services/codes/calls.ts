import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CallOptions, HandlerContext } from "@connectrpc/connect";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { IntakeService } from "#gen/waymark/scans/v1/intake_pb.ts";
import { forward, type RequestContext } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { CodeDoc } from "./model.ts";

const COUNT_AT_ONCE = 1000;
const AUDIT_TIMEOUT_MS = 1000;

/** Scans by people of codes of the caller's workspace, in the order of the ids. */
export async function countScans(
  deps: Pick<ServiceDeps, "client">,
  ids: readonly string[],
  options: CallOptions,
): Promise<bigint[]> {
  const totals: bigint[] = [];
  for (let from = 0; from < ids.length; from += COUNT_AT_ONCE) {
    const codeIds = ids.slice(from, from + COUNT_AT_ONCE);
    totals.push(...(await deps.client(IntakeService).countScans({ codeIds }, options)).totals);
  }
  return totals;
}

/** The same by id, for a page of codes: one call. */
export async function totalsOf(
  deps: Pick<ServiceDeps, "client">,
  docs: readonly CodeDoc[],
  handler: HandlerContext,
): Promise<Map<string, bigint>> {
  const ids = docs.map(({ id }) => id);
  const totals = await countScans(deps, ids, forward(handler));
  return new Map(ids.map((id, i) => [id, totals[i] ?? 0n]));
}

/** What was done with codes, as ObjectChanged says it. */
export type Deed = "created" | "updated" | "deleted";

const ACTIONS = { created: "codes.create", updated: "codes.update", deleted: "codes.delete" } as const;

/** Tells the log, so that caches drop these codes before the caller hears of the change. */
export async function publish(
  deps: Pick<ServiceDeps, "log">,
  docs: readonly CodeDoc[],
  { deed, context }: { deed: Deed; context: RequestContext },
): Promise<void> {
  if (docs.length === 0) return;
  const changedAt = timestampFromMs(context.now());
  const records = docs.map(({ id, shortId }) => {
    const workspaceId = context.principal.workspace;
    const changed = { workspaceId, objectId: id, aliases: [shortId], changedAt, change: deed };
    const payload = toBinary(ObjectChangedSchema, create(ObjectChangedSchema, changed));
    return { subject: "codes.changed", key: id, payload } as const;
  });
  await deps.log.append(records, context.newId("change"));
}

/** Tells the audit trail what was done with codes. */
export function audit(
  deps: Pick<ServiceDeps, "client">,
  docs: readonly CodeDoc[],
  { deed, handler }: { deed: Deed; handler: Pick<HandlerContext, "values"> },
): Promise<void> {
  return auditAll(
    deps,
    docs.map(({ id }) => ({ action: ACTIONS[deed], object: id })),
    handler,
  );
}

/** Tells the audit trail. It may miss it: an unreachable trail does not undo what is stored. */
export async function auditAll(
  deps: Pick<ServiceDeps, "client">,
  done: readonly { action: string; object: string }[],
  handler: Pick<HandlerContext, "values">,
): Promise<void> {
  const items = done.map((one) => ({ ...one, outcome: "ok" }));
  const options = { contextValues: handler.values, timeoutMs: AUDIT_TIMEOUT_MS };
  await deps
    .client(AuthorityService)
    .appendAudit({ items }, options)
    .catch(() => undefined);
}
