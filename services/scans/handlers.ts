import { create, toBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { ConversationUpdatedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { ListScansRequest, RecordConversationRequest, ScanService } from "#gen/waymark/scans/v1/scans_pb.ts";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { getCodeAnalytics } from "./analytics-handler.ts";
import { createScans } from "./create-scans.ts";
import type { Intake } from "./intake.ts";
import { pageOfScans } from "./listing.ts";
import { toScan } from "./messages.ts";
import type { TouchDoc } from "./model.ts";
import { fail } from "./reasons.ts";
import { sightOf } from "./sight.ts";
import { readScan } from "./tail.ts";
import { talkOn } from "./talk.ts";
import type { Targets } from "./targets.ts";
import { countScans, type Selection } from "./totals.ts";
import type { Written } from "./written.ts";

/** What the handlers stand on. */
export interface ScanParts extends Pick<ServiceDeps, "store" | "log"> {
  intake: Intake;
  targets: Targets;
  written: Written;
}

/** Handlers of ScanService. */
export function scanHandlers(parts: ScanParts): ServiceImpl<typeof ScanService> {
  const { store, written, intake } = parts;
  return {
    async listScans(request, handler) {
      const { limit = 50, offset = 0 } = request;
      const selection = selectionOf(request, handler);
      await written.settled(handler);
      // Documents are written before they are counted: so nothing is counted that the list, which is read later, does not have.
      const counted = await countScans(store, selection);
      const docs = await pageOfScans(store, selection, { skip: offset, limit });
      const total = docs.length === 0 ? counted : Math.max(counted, offset + docs.length);
      return { scans: docs.map(toScan), total: BigInt(total), limit, offset };
    },

    async getScan({ scanId }, handler) {
      await written.settled(handler);
      return { scan: toScan(await findScan(scanId, handler, parts)) };
    },

    createScans: (request, handler) => createScans(request, handler, intake),

    async recordConversation(request, handler) {
      return { scan: toScan(await recordConversation(request, handler, parts)) };
    },

    getCodeAnalytics: (request, handler) => getCodeAnalytics(request, handler, parts),
  };
}

/** `since` and `until` are exclusive. */
function selectionOf({ qprCodeId, since, until, includeBots }: ListScansRequest, handler: HandlerContext): Selection {
  const { workspace, wall, floor } = sightOf(handler);
  const from = since === undefined ? floor : Math.max(msAfter(since), floor ?? Number.NEGATIVE_INFINITY);
  const end = until === undefined ? undefined : Math.ceil(timestampMs(until));
  return { workspace, wall, codeId: qprCodeId || undefined, from, until: end, includeBots: includeBots ?? false };
}

/** The first millisecond after a time. */
function msAfter(time: Timestamp): number {
  return Math.floor(timestampMs(time)) + 1;
}

async function findScan(scanId: string, handler: HandlerContext, parts: ScanParts): Promise<TouchDoc> {
  const { workspace, wall, floor } = sightOf(handler);
  const doc = await readScan(parts, { workspace, id: scanId });
  if (doc === undefined || doc.wall !== wall || doc.scannedAt < (floor ?? Number.NEGATIVE_INFINITY))
    throw fail("SCAN_NOT_FOUND", { scanId });
  return doc;
}

/** Appends the update, and answers with what the projection will make of it. */
async function recordConversation(
  { scanId, messages = 0, completed = false }: RecordConversationRequest,
  handler: HandlerContext,
  parts: ScanParts,
): Promise<TouchDoc> {
  const { now, newId, principal } = contextOf(handler);
  const { workspace } = principal;
  const doc = await findScan(scanId, handler, parts);
  const next = { ...doc, ...talkOn(doc, messages) };
  const update = { workspaceId: workspace, scanId, codeId: doc.codeId, messages: next.messages, completed };
  const event = create(ConversationUpdatedSchema, { ...update, updatedAt: timestampFromMs(now()) });
  const payload = toBinary(ConversationUpdatedSchema, event);
  const record = { subject: "conversations.updated" as const, key: doc.codeId, payload };
  parts.written.note(handler, await parts.log.append([record], newId("batch")));
  return next;
}
