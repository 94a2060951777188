import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { SyncService } from "#gen/waymark/analytics/v1/sync_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { type AnalyticsDeps, ask } from "../asking.ts";
import { type Cursor, decodeCursor, encodeCursor } from "../cursor.ts";
import { readWatermark } from "../feed/watermark.ts";
import { fail } from "../reasons.ts";
import { seesPeople } from "../visitors/people.ts";
import { keyOf, readChanges } from "./changes.ts";
import { toChange } from "./messages.ts";

/** The most changes of one answer. */
const MOST = 5_000;

/** Handlers of SyncService. */
export function syncHandlers(own: AnalyticsDeps): ServiceImpl<typeof SyncService> {
  return {
    sync: async ({ cursor, limit = 1_000 }, handler) => {
      const { principal } = contextOf(handler);
      const people = seesPeople(principal);
      const asked = ["sync", principal.workspace, principal.test, people];
      const at = cursorOf(asked, cursor);
      const question = await ask(own, handler);
      const mark = await readWatermark(question.duck);
      const size = Math.min(limit, MOST);
      const after = { position: at?.key ?? 0, key: at?.id ?? "" };
      const changes = await readChanges(question, { after, upTo: mark.position, limit: size, people });
      const last = changes.at(-1);
      const next = last === undefined ? after : { position: last.position, key: keyOf(last) };
      return {
        changes: changes.map((change) => toChange(change, own.publicUrl)),
        cursor: encodeCursor(asked, { key: next.position, id: next.key, upTo: 0, total: 0 }),
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
