import type { MessageInitShape } from "@bufbuild/protobuf";
import { type SyncChangeSchema, SyncKind, SyncOp } from "#gen/waymark/analytics/v1/sync_pb.ts";
import type { Row } from "../engine/query.ts";
import { attributesOf, profileOf, textOf, timeOf, toDevice, toEvent } from "../events/messages.ts";
import type { Change } from "./changes.ts";

const KINDS = { event: SyncKind.EVENT, visitor: SyncKind.VISITOR } as const;

/** A change as it is told. */
export function toChange(change: Change, publicUrl: string): MessageInitShape<typeof SyncChangeSchema> {
  const { kind, id, row, gone } = change;
  return {
    kind: KINDS[kind],
    op: gone === undefined ? SyncOp.UPSERT : SyncOp.DELETE,
    id,
    at: timeOf(row.happened_at),
    data: gone === undefined ? dataOf(change, publicUrl) : { case: undefined },
    revisedAt: timeOf(row.revised_at),
    rules: textOf(row.rules),
    reason: gone,
  };
}

function dataOf({ kind, row }: Change, publicUrl: string) {
  if (kind === "visitor") return { case: "visitor" as const, value: personOf(row) };
  const event = toEvent(row, { firsts: new Set(), publicUrl });
  const device = event.visitorId === undefined ? undefined : toDevice(row);
  // Whether a visit was the first is decided by other events too, and changes without a change of this one: it is not told.
  return { case: "event" as const, value: { ...event, device, visitType: undefined } };
}

function personOf(row: Row) {
  return {
    id: String(row.id),
    ...profileOf(row),
    attributes: attributesOf(textOf(row.attributes)),
    identifiedAt: timeOf(row.identified_at),
    updatedAt: timeOf(row.updated_at),
  };
}
