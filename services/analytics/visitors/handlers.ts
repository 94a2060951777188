import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { create, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { VisitorChange, VisitorChangedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { contextOf, type Principal } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
import { POSITION_HEADER } from "#runtime/positions.ts";
import { type AnalyticsDeps, type Asking, ask } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { findEvent } from "../events/events.ts";
import { visitorsWithIncludes } from "../events/includes.ts";
import { textOf } from "../events/messages.ts";
import { explain } from "../explain.ts";
import { readWatermark } from "../feed/watermark.ts";
import { fail } from "../reasons.ts";
import { deviceOf, visitorOf } from "../rules.ts";
import { readAttributeMetric, readDistribution, readKeys, readValues } from "./attributes.ts";
import { checkSaid } from "./rules.ts";
import { findVisitor, forget, keepSaid, type Outcome, type World } from "./store.ts";
import { readVisitor } from "./visitors.ts";

/** How long an event that has just been recorded is waited for, and how long a writer waits to read what it wrote. */
const EVENT_MS = 1_500;
const OWN_MS = 2_000;
const AGAIN_MS = 25;

/** Handlers of VisitorService. */
export function visitorHandlers(own: AnalyticsDeps): ServiceImpl<typeof VisitorService> {
  return {
    identifyVisitor: ({ lbid, setOnce, visitor }, handler) =>
      identify(own, { lbid, setOnce, said: visitor?.data ?? {} }, handler),
    listAttributeKeys: async ({ linkId }, handler) => readKeys(await ask(own, handler, { linkId })),
    getVisitor: async ({ id, include }, handler) => {
      const asking = await ask(own, handler);
      const row = await rowOf(asking, id);
      return { visitor: await shown(own, { asking, row, include }, handler) };
    },
    updateVisitor: async ({ id, visitor }, handler) => {
      const said = visitor?.data ?? {};
      checkSaid(said);
      const asking = await ask(own, handler);
      const visitorId = String((await rowOf(asking, id)).visitor_id);
      const saying = { visitorId, said, once: false, identifies: false, at: contextOf(handler).now() };
      const outcome = await keepSaid(worldOf(own, handler), saying);
      await tell(own, handler, { outcome, change: VisitorChange.UPDATED });
      return {
        visitor: await shown(own, { asking, row: await rowOf(asking, outcome.doc.visitorId), include: [] }, handler),
      };
    },
    deleteVisitor: ({ id }, handler) => remove(own, id, handler),
    queryAttributeMetric: async (request, handler) => {
      const { key, linkId, startDate, endDate } = request;
      const question = await ask(own, handler, { linkId, startDate, endDate });
      const reply = await readAttributeMetric(question, key);
      if (!request.explain) return reply;
      return {
        ...reply,
        explanation: await explain(question, { definition: "attributes", startDate, endDate, log: own.log }),
      };
    },
    queryAttributeDistribution: async (request, handler) => {
      const { key, linkId, startDate, endDate, limit = 10 } = request;
      checkKey(key, contextOf(handler).principal);
      const question = await ask(own, handler, { linkId, startDate, endDate });
      const reply = await readDistribution(question, { key, limit });
      if (!request.explain) return reply;
      return {
        ...reply,
        explanation: await explain(question, { definition: "attributes", startDate, endDate, log: own.log }),
      };
    },
    queryAttributeValues: async ({ key, linkId, startDate, endDate, limit = 100 }, handler) =>
      readValues(await ask(own, handler, { linkId, startDate, endDate }), { key, limit }),
  };
}

/** Addresses, numbers and names tell who somebody is: that needs a scope of its own. */
function checkKey(key: string, { scopes, keyClass }: Principal): void {
  if (!key.startsWith("$") || keyClass === "internal") return;
  if (!scopes.includes("admin") && !scopes.includes("visitors:read"))
    throw refuse("PERMISSION_DENIED", { scope: "visitors:read" });
}

function worldOf({ store }: AnalyticsDeps, handler: HandlerContext): World {
  const { workspace, test } = contextOf(handler).principal;
  return { store, workspace, test };
}

async function rowOf(asking: Asking, id: string): Promise<Row> {
  const device = deviceOf(id);
  const row = device === "" ? undefined : await readVisitor(asking, device);
  if (row === undefined) throw fail("VISITOR_NOT_FOUND", { visitorId: id });
  return row;
}

async function shown(
  own: AnalyticsDeps,
  { asking, row, include }: { asking: Asking; row: Row; include: readonly string[] },
  handler: HandlerContext,
) {
  const [visitor] = await visitorsWithIncludes({ ...own, handler }, asking, { rows: [row], include: new Set(include) });
  return visitor;
}

async function identify(
  own: AnalyticsDeps,
  { lbid, setOnce, said }: { lbid: string; setOnce: boolean; said: JsonObject },
  handler: HandlerContext,
) {
  checkSaid(said);
  const eventId = Buffer.from(lbid, "base64url").toString();
  if (eventId === "" || Buffer.from(eventId).toString("base64url") !== lbid.replace(/=+$/, ""))
    throw fail("LBID_INVALID", { field: "lbid" });
  const asking = await ask(own, handler);
  const event = await eventually(() => findEvent(asking, eventId), EVENT_MS, handler.signal);
  if (event === undefined) throw fail("LBID_UNKNOWN", { field: "lbid" });
  const device = textOf(event.device_id);
  if (device === undefined) throw fail("LBID_NAMELESS", { field: "lbid" });
  const saying = { visitorId: visitorOf(device), said, once: setOnce, identifies: true, at: contextOf(handler).now() };
  const outcome = await keepSaid(worldOf(own, handler), saying);
  await tell(own, handler, { outcome, change: VisitorChange.IDENTIFIED });
  const row = await rowOf(asking, outcome.doc.visitorId);
  return { created: outcome.created, visitor: await shown(own, { asking, row, include: [] }, handler) };
}

/** Tells the log who has changed, and waits until the table here has it, so that the caller reads what it wrote. */
async function tell(
  own: AnalyticsDeps,
  handler: HandlerContext,
  { outcome, change }: { outcome: Outcome; change: VisitorChange },
): Promise<void> {
  const { visitorId } = outcome.doc;
  const isMerged = outcome.mergedIds.length > 0;
  const kind = isMerged ? VisitorChange.MERGED : change;
  await append(own, handler, { visitorId, change: kind, mergedIds: outcome.mergedIds });
}

async function append(
  own: AnalyticsDeps,
  handler: HandlerContext,
  told: { visitorId: string; change: VisitorChange; mergedIds?: string[]; deviceIds?: string[] },
): Promise<number> {
  const context = contextOf(handler);
  const { workspace: workspaceId, test } = context.principal;
  const changedAt = timestampFromMs(context.now());
  const message = create(VisitorChangedSchema, { workspaceId, test, changedAt, ...told });
  const record = {
    subject: "visitors.changed",
    key: told.visitorId,
    payload: toBinary(VisitorChangedSchema, message),
  } as const;
  const position = await own.log.append([record], randomUUID());
  handler.responseHeader.set(POSITION_HEADER, String(position));
  const duck = await own.engine.pass(handler.signal);
  await eventually(async () => (await readWatermark(duck)).position >= position || undefined, OWN_MS, handler.signal);
  return position;
}

/** What comes true within some time; undefined when it does not. */
async function eventually<T>(
  look: () => Promise<T | undefined>,
  ms: number,
  signal: AbortSignal,
): Promise<T | undefined> {
  const end = performance.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined || performance.now() > end) return found;
    await delay(AGAIN_MS, undefined, { signal });
  }
}

async function remove(own: AnalyticsDeps, id: string, handler: HandlerContext) {
  const row = await rowOf(await ask(own, handler), id);
  const visitorId = String(row.visitor_id);
  const world = worldOf(own, handler);
  const known = await findVisitor(world, visitorId);
  const devices = known === undefined || known.devices.length === 0 ? [deviceOf(visitorId)] : [...known.devices];
  const at = contextOf(handler).now();
  // What is known goes first: whoever reads of the change on the log finds nothing any more.
  await forget(world, { visitorId, devices, at, position: await own.log.head() });
  const position = await append(own, handler, { visitorId, change: VisitorChange.ERASED, deviceIds: devices });
  await forget(world, { visitorId, devices, at, position });
  return { success: true };
}
