import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TouchesRefusedSchema } from "#gen/waymark/events/v1/ledger_pb.ts";
import type { RequestContext } from "./context.ts";
import type { Log } from "./log.ts";

/** Books scans that were rejected before they reached intake, so that the ledger has them. It may miss some when the log is full. */
export async function bookRejected(
  items: readonly { code: string }[],
  context: RequestContext,
  log: Log,
): Promise<void> {
  if (items.length === 0) return;
  const { workspace, test } = context.principal;
  const rejected: Record<string, number> = {};
  for (const { code } of items) rejected[code] = (rejected[code] ?? 0) + 1;
  const refused = { workspaceId: workspace, arrivedAt: timestampFromMs(context.now()), rejected, test };
  const payload = toBinary(TouchesRefusedSchema, create(TouchesRefusedSchema, refused));
  const record = { subject: "touches.refused", key: workspace, payload } as const;
  await log.append([record], context.newId("refused")).catch(() => undefined);
}
