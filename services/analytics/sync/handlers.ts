import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { SyncKind, type SyncService } from "#gen/waymark/analytics/v1/sync_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, ask } from "../asking.ts";
import { type Cursor, decodeCursor, encodeCursor } from "../cursor.ts";
import { withIncludes } from "../events/includes.ts";
import { textOf, timeOf } from "../events/messages.ts";
import { readWatermark } from "../feed/watermark.ts";
import { fail } from "../reasons.ts";
import { readChanges } from "./changes.ts";

/** The most changes of one answer. */
const MOST = 5_000;

/** Handlers of SyncService. */
export function syncHandlers(own: AnalyticsDeps): ServiceImpl<typeof SyncService> {
  return {
    sync: async ({ cursor, limit = 1_000 }, handler) => {
      const { workspace, test } = contextOf(handler).principal;
      const asked = ["sync", workspace, test];
      const at = cursorOf(asked, cursor);
      const question = await ask(own, handler);
      const mark = await readWatermark(question.duck);
      const size = Math.min(limit, MOST);
      const after = { position: at?.key ?? 0, id: at?.id ?? "" };
      const changes = await readChanges(question, { after, upTo: mark.position, limit: size });
      const live = changes.filter(({ gone }) => gone === undefined).map(({ row }) => row);
      const events = await withIncludes({ ...own, handler }, question, { rows: live, include: new Set(["device"]) });
      const byId = new Map(events.map((event) => [event.id, event]));
      const last = changes.at(-1) ?? after;
      return {
        items: changes.map(({ id, row, gone }) => ({
          kind: gone === undefined ? SyncKind.UPSERT : SyncKind.DELETE,
          id,
          event: gone === undefined ? told(byId.get(id)) : undefined,
          revisedAt: timeOf(row.revised_at),
          rules: textOf(row.rules),
          reason: gone,
        })),
        nextCursor: encodeCursor(asked, { key: last.position, id: last.id, upTo: 0, total: 0 }),
        hasMore: changes.length === size,
        completeUntil: mark.appendedAt === 0 ? undefined : timestampFromMs(mark.appendedAt),
        retainedFrom: question.floor && timestampFromMs(Math.floor(question.floor.at)),
      };
    },
  };
}

function cursorOf(asked: readonly unknown[], cursor: string): Cursor | undefined {
  try {
    return decodeCursor(asked, cursor);
  } catch (cause) {
    throw fail("PAGE_TOKEN_INVALID", { field: "cursor" }, cause);
  }
}

/** Whether a visit was the first is decided by other events too, and changes without a change of this one: it is not told. */
function told<E extends object>(event: E | undefined): (E & { visitType: undefined }) | undefined {
  return event && { ...event, visitType: undefined };
}
