import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { AuthorityService } from "#gen/waymark/access/v1/authority_pb.ts";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { LogRecord } from "#runtime/log.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { TagDoc } from "./model.ts";

const AUDIT_TIMEOUT_MS = 1000;

/** Tells the audit trail what was done with a tag or thread. An unreachable trail does not undo what is stored. */
export async function audit(
  deps: Pick<ServiceDeps, "client">,
  item: { action: string; object: string },
  handler: HandlerContext,
): Promise<void> {
  const options = { contextValues: handler.values, timeoutMs: AUDIT_TIMEOUT_MS };
  const appended = deps.client(AuthorityService).appendAudit({ items: [{ ...item, outcome: "ok" }] }, options);
  await appended.catch(() => undefined);
}

/** Tells the log that a tag is gone, so that others remove what they keep for it. Telling it again adds nothing. */
export async function announceDeletion(
  deps: Pick<ServiceDeps, "log">,
  { workspace, tag, deletedAt }: { workspace: string; tag: TagDoc; deletedAt: number },
): Promise<void> {
  const changedAt = timestampFromMs(deletedAt);
  const changed = { workspaceId: workspace, objectId: tag.id, changedAt, change: "deleted" };
  const payload = toBinary(ObjectChangedSchema, create(ObjectChangedSchema, changed));
  const record: LogRecord = { subject: "tags.deleted", key: tag.id, payload };
  await deps.log.append([record], `tags.deleted/${workspace}/${tag.id}/${deletedAt}`);
}
