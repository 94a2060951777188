import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import type { CreateScansRequest, CreateScansResponseSchema } from "#gen/waymark/scans/v1/scans_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail } from "#runtime/failure.ts";
import { arrivalOf, faultOfScan } from "./input.ts";
import type { Intake, Item, Taken } from "./intake.ts";
import { overloaded } from "./reasons.ts";

/** The most scans of a JSON body, and of one step of a longer NDJSON body. */
const MOST = 1000;

/**
 * Takes a batch in. A long NDJSON body goes step by step, so that others get their turn; a step that finds the queue full
 * has its items refused, unless it is the first: then nothing was taken, and the whole request is refused.
 */
export async function createScans(
  request: CreateScansRequest,
  handler: HandlerContext,
  intake: Intake,
): Promise<MessageInitShape<typeof CreateScansResponseSchema>> {
  const { scans, fromLines } = request;
  if (scans.length > MOST && !fromLines)
    throw fail("INVALID_FIELD", { field: "scans", must: `must have at most ${MOST} items; send more as NDJSON` });
  const items = itemsOf(request, contextOf(handler).now());
  const reply: Pick<Taken, "accepted" | "rejected"> = { accepted: 0, rejected: [] };
  for (let from = 0; from < items.length; from += MOST) {
    const taken = await takeStep(items.slice(from, from + MOST), { isFirst: from === 0, handler, intake });
    reply.accepted += taken.accepted;
    for (const { index, code, message } of taken.rejected) reply.rejected.push({ index: index + from, code, message });
  }
  return reply;
}

function itemsOf({ scans, faults }: CreateScansRequest, now: number): Item[] {
  const unread = new Map(faults.map(({ index, message }) => [index, { code: "INVALID_FIELD", message }]));
  return scans.map((scan, index) => {
    const refusal = unread.get(index) ?? faultOfScan(scan, now);
    return refusal === undefined ? { arrival: arrivalOf(scan) } : { refusal };
  });
}

async function takeStep(
  items: readonly Item[],
  { isFirst, handler, intake }: { isFirst: boolean; handler: HandlerContext; intake: Intake },
): Promise<Pick<Taken, "accepted" | "rejected">> {
  try {
    return await intake(items, handler);
  } catch (error) {
    if (isFirst || !(error instanceof ConnectError) || error.code !== Code.Unavailable) throw error;
    return { accepted: 0, rejected: items.map((_, index) => ({ index, ...overloaded() })) };
  }
}
