import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { IntakeService, type TouchInput } from "#gen/waymark/scans/v1/intake_pb.ts";
import type {
  RecordTouchpointScansRequest,
  RecordTouchpointScansResponseSchema,
} from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import { contextOf, forward } from "#runtime/context.ts";
import { bookRejected } from "#runtime/refused.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { fromScanInput, toTouchInput } from "./messages.ts";
import { faultOf } from "./rules.ts";
import { knownTouchpoints } from "./store.ts";

type Reply = MessageInitShape<typeof RecordTouchpointScansResponseSchema>;

/** Judges each scan alone and hands the good ones to intake in one call; answers after they are durable. */
export async function recordScans(
  request: RecordTouchpointScansRequest,
  handler: HandlerContext,
  { store, client, log }: ServiceDeps,
): Promise<Reply> {
  const context = contextOf(handler);
  const { principal, now } = context;
  const scans = request.scans.map(fromScanInput);
  const ids = new Set(scans.map(({ touchpointId }) => touchpointId).filter((id) => id !== ""));
  const touchpoints = await knownTouchpoints([...ids], store, principal);
  const unread = new Map(request.faults.map(({ index, message }) => [index, message]));
  const rejected: { index: number; code: string; message: string }[] = [];
  const taken: { index: number; input: TouchInput }[] = [];
  for (const [index, scan] of scans.entries()) {
    const fault = unread.get(index) ?? faultOf(scan, now());
    const touchpoint = touchpoints.get(scan.touchpointId);
    if (fault !== undefined) rejected.push({ index, code: "INVALID_FIELD", message: fault });
    else if (touchpoint !== undefined) taken.push({ index, input: toTouchInput(scan, touchpoint) });
    else rejected.push({ index, code: "TOUCHPOINT_NOT_FOUND", message: "touchpointId: Touchpoint not found" });
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
