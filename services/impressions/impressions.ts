import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  ImpressionService,
  ListImpressionsRequest,
  RecordImpressionsRequest,
  RecordImpressionsResponseSchema,
} from "#gen/waymark/impressions/v1/impressions_pb.ts";
import { IntakeService, type TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import { contextOf, forward, type Principal } from "#runtime/context.ts";
import { bookRejected } from "#runtime/refused.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import type { Store } from "#runtime/store.ts";
import { fromImpressionInput, toImpression, toTouchInput } from "./messages.ts";
import { impressionModel, posterModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { faultOf, pageOf } from "./rules.ts";
import { getOwn, getOwnMany } from "./store.ts";
import { totalOf } from "./totals.ts";

/** Impressions of the Impressions API. */
export function impressionHandlers(deps: ServiceDeps): ServiceImpl<typeof ImpressionService> {
  const impressions = deps.store.collection(impressionModel);
  return {
    async listImpressions(request, handler) {
      const { principal } = contextOf(handler);
      const { programId, posterId } = request;
      if (await isEmpty(request, deps.store, principal)) return { impressions: [], total: 0n };
      const where = {
        test: principal.test,
        ...(programId !== "" && { programId }),
        ...(posterId !== "" && { posterId }),
      };
      const direction = request.order === "desc" ? -1 : 1;
      const query = { where, sort: [["scannedAt", direction]], ...pageOf(request) } as const;
      const [found, total] = await Promise.all([
        impressions.of(principal.workspace).find(query),
        totalOf({ programId, posterId }, deps.store, principal),
      ]);
      return { impressions: found.map(toImpression), total: BigInt(total) };
    },
    async getImpression({ impressionId }, handler) {
      const doc = await getOwn(impressions, impressionId, contextOf(handler).principal);
      if (doc === undefined) throw fail("IMPRESSION_NOT_FOUND", { id: impressionId });
      return { impression: toImpression(doc) };
    },
    recordImpressions: (request, handler) => recordImpressions(request, handler, deps),
  };
}

/** A poster belongs to one program: asking for it in another one finds nothing. */
async function isEmpty({ programId, posterId }: ListImpressionsRequest, store: Store, principal: Principal) {
  if (programId === "" || posterId === "") return false;
  return (await getOwn(store.collection(posterModel), posterId, principal))?.programId !== programId;
}

type Reply = MessageInitShape<typeof RecordImpressionsResponseSchema>;

/** Judges each impression alone and hands the good ones to intake in one call; answers after they are durable. */
async function recordImpressions(
  request: RecordImpressionsRequest,
  handler: HandlerContext,
  { store, client, log }: ServiceDeps,
): Promise<Reply> {
  const context = contextOf(handler);
  const { principal, now } = context;
  const scans = request.impressions.map(fromImpressionInput);
  const ids = new Set(scans.map(({ posterId }) => posterId).filter((id) => id !== ""));
  const posters = await getOwnMany(store.collection(posterModel), [...ids], principal);
  const unread = new Map(request.faults.map(({ index, message }) => [index, message]));
  const rejected: { index: number; code: string; message: string }[] = [];
  const taken: { index: number; input: TouchInput }[] = [];
  for (const [index, scan] of scans.entries()) {
    const fault = unread.get(index) ?? faultOf(scan, now());
    const poster = posters.get(scan.posterId);
    if (fault !== undefined) rejected.push({ index, code: "INVALID_FIELD", message: fault });
    else if (poster !== undefined) taken.push({ index, input: toTouchInput(scan, poster) });
    else rejected.push({ index, code: "POSTER_NOT_FOUND", message: "poster_id must name an existing poster" });
  }
  const touches = taken.map(({ input }) => input);
  const reply = touches.length > 0 ? await client(IntakeService).recordTouches({ touches }, forward(handler)) : none;
  await bookRejected(rejected, context, log);
  const refused = reply.rejected.map(({ index, code, message }) => ({
    index: taken[index]?.index ?? index,
    code,
    message,
  }));
  const all = [...rejected, ...refused].sort((a, b) => a.index - b.index);
  return { accepted: reply.accepted, rejected: all };
}

const none = { accepted: 0, rejected: [] };
