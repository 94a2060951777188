import type { JsonObject } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { VisitorService } from "#gen/waymark/analytics/v1/visitors_pb.ts";
import { VisitorChange } from "#gen/waymark/events/v1/corrections_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { fail as refuse } from "#runtime/failure.ts";
import { type AnalyticsDeps, type Asking, ask, type Question } from "../asking.ts";
import { deviceKey } from "../device-key.ts";
import type { Row } from "../engine/query.ts";
import { visitorsWithIncludes } from "../events/includes.ts";
import { textOf } from "../events/messages.ts";
import { explain, type Telling } from "../explain.ts";
import { fail } from "../reasons.ts";
import { deviceOf, visitorOf } from "../rules.ts";
import { readAttributeMetric, readDistribution, readKeys, readValues } from "./attributes.ts";
import { findVisitor, type World } from "./documents.ts";
import { searchVisitors } from "./listing.ts";
import type { VisitorDoc } from "./model.ts";
import { seesPeople } from "./people.ts";
import { checkSaid, isLive } from "./rules.ts";
import { forget, forgetTold, keepSaid, type Outcome, type Saying } from "./store.ts";
import { awaitEvent, tell } from "./telling.ts";
import { readVisitor } from "./visitors.ts";

/** Handlers of VisitorService. */
export function visitorHandlers(own: AnalyticsDeps): ServiceImpl<typeof VisitorService> {
  return {
    identifyVisitor: (request, handler) => identify(own, { ...request, said: request.visitor?.data ?? {} }, handler),
    listAttributeKeys: async ({ linkId }, handler) => readKeys(await ask(own, handler, { linkId })),
    getVisitor: async ({ id, include }, handler) => {
      const asking = await ask(own, handler);
      const row = await rowOf(asking, id);
      return { visitor: await shown(own, { asking, row, include }, handler) };
    },
    updateVisitor: ({ id, visitor }, handler) => update(own, { id, said: visitor?.data ?? {} }, handler),
    searchVisitors: (request, handler) => searchVisitors(own, request, handler),
    deleteVisitorAttribute: (request, handler) => removeAttribute(own, request, handler),
    deleteVisitor: ({ id }, handler) => remove(own, id, handler),
    queryAttributeMetric: async (request, handler) => {
      const question = await ask(own, handler, narrowOf(request));
      const [reply, explanation] = await Promise.all([
        readAttributeMetric(question, request.key),
        explained(own, question, request),
      ]);
      return { ...reply, explanation };
    },
    queryAttributeDistribution: async (request, handler) => {
      const { key, limit = 10 } = request;
      checkKey(key, handler);
      const question = await ask(own, handler, narrowOf(request));
      const [reply, explanation] = await Promise.all([
        readDistribution(question, { key, limit }),
        explained(own, question, request),
      ]);
      return { ...reply, explanation };
    },
    queryAttributeValues: async (request, handler) => {
      const { key, limit = 100 } = request;
      const question = await ask(own, handler, narrowOf(request));
      const [reply, explanation] = await Promise.all([
        readValues(question, { key, limit }),
        explained(own, question, request),
      ]);
      return { ...reply, explanation };
    },
  };
}

type Asked = Pick<Telling, "startDate" | "endDate"> & { linkId?: string | undefined; explain: boolean };

const narrowOf = ({ linkId, startDate, endDate }: Asked) => ({ linkId, startDate, endDate });

async function explained({ log }: AnalyticsDeps, question: Question, { startDate, endDate, ...asked }: Asked) {
  return asked.explain ? explain(question, { definition: "attributes", startDate, endDate, log }) : undefined;
}

/** Addresses, numbers and names tell who somebody is: that needs a scope of its own. */
function checkKey(key: string, handler: HandlerContext): void {
  if (key.startsWith("$") && !seesPeople(contextOf(handler).principal))
    throw refuse("PERMISSION_DENIED", { scope: "visitors:read" });
}

function worldOf({ store }: AnalyticsDeps, handler: HandlerContext): World {
  const { workspace, test } = contextOf(handler).principal;
  return { store, workspace, test };
}

async function rowOf(asking: Asking, id: string): Promise<Row> {
  const row = await readVisitor(asking, deviceOf(id));
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
  const event = await awaitEvent(own, asking, eventId);
  if (event === undefined) throw fail("LBID_UNKNOWN", { field: "lbid" });
  const device = textOf(event.device_id);
  if (device === undefined) throw fail("LBID_NAMELESS", { field: "lbid" });
  const saying = { visitorId: visitorOf(device), said, once: setOnce, identifies: true, at: contextOf(handler).now() };
  const { created, visitor } = await say(own, { asking, saying, change: VisitorChange.IDENTIFIED }, handler);
  return { created, visitor };
}

async function update(own: AnalyticsDeps, { id, said }: { id: string; said: JsonObject }, handler: HandlerContext) {
  checkSaid(said);
  const asking = await ask(own, handler);
  const visitorId = String((await rowOf(asking, id)).visitor_id);
  const saying = { visitorId, said, once: false, identifies: false, at: contextOf(handler).now() };
  const { visitor } = await say(own, { asking, saying, change: VisitorChange.UPDATED }, handler);
  return { visitor };
}

/**
 * Takes one attribute back. One that is still in the table, though it is kept no more, was taken by a call that ended before
 * the log was told: a repetition ends that.
 */
async function removeAttribute(
  own: AnalyticsDeps,
  { id, attributeKey: key }: { id: string; attributeKey: string },
  handler: HandlerContext,
) {
  if (key.startsWith("$")) throw fail("VISITOR_DATA", { field: "attribute_key", must: "must be without $" });
  const asking = await ask(own, handler);
  const row = await rowOf(asking, id);
  const visitorId = String(row.visitor_id);
  const kept = await findVisitor(worldOf(own, handler), visitorId);
  const shownAs: readonly { key: string }[] = JSON.parse(textOf(row.attributes) ?? "[]");
  const isThere = Object.hasOwn(kept?.attributes ?? {}, key) || shownAs.some((one) => one.key === key);
  if (!isThere) throw fail("ATTRIBUTE_NOT_FOUND", { visitorId, key });
  const saying = { visitorId, said: { [key]: null }, once: false, identifies: false, at: contextOf(handler).now() };
  await say(own, { asking, saying, change: VisitorChange.UPDATED }, handler);
  return { success: true };
}

/** Keeps what is said, tells the log who has changed, and shows the visitor as it is kept. */
async function say(
  own: AnalyticsDeps,
  { asking, saying, change }: { asking: Asking; saying: Saying; change: VisitorChange },
  handler: HandlerContext,
) {
  const { doc, created, mergedIds }: Outcome = await keepSaid(worldOf(own, handler), saying);
  const { visitorId } = doc;
  await tell(own, handler, { visitorId, change: mergedIds.length > 0 ? VisitorChange.MERGED : change, mergedIds });
  const row = rowAs(doc, await readVisitor(asking, deviceOf(visitorId)));
  return { created, visitor: await shown(own, { asking, row, include: [] }, handler) };
}

/** What is known of a visitor as it was just written, with the counts of the table, which may be behind. */
function rowAs(doc: VisitorDoc, row: Row = {}): Row {
  const { visitorId, updatedAt, devices, attributes, email, phone, firstName, lastName } = doc;
  const known = Object.entries(attributes).map(([key, { type, text, number, truth, time }]) => ({
    ...{ key, type, text },
    ...{ number: number ?? null, truth: truth ?? null, time: time ?? null },
  }));
  const at = BigInt(Math.floor(updatedAt));
  const counts = { visits: 0n, devices: BigInt(devices.length), first_at: at, last_at: at };
  return {
    ...{ ...counts, ...row, visitor_id: visitorId, visitor_key: deviceKey(deviceOf(visitorId)) },
    ...{ email: email ?? null, phone: phone ?? null, first_name: firstName ?? null, last_name: lastName ?? null },
    attributes: JSON.stringify(known.toSorted((one, other) => (one.key < other.key ? -1 : 1))),
  };
}

async function remove(own: AnalyticsDeps, id: string, handler: HandlerContext) {
  const world = worldOf(own, handler);
  const row = await readVisitor(await ask(own, handler), deviceOf(id));
  const known = await findVisitor(world, textOf(row?.visitor_id) ?? id);
  // One that was forgotten, but of whose devices the log was not told: a repetition ends that.
  const isThere = known !== undefined && (isLive(known) || known.devices.length > 0);
  if (row === undefined && !isThere) throw fail("VISITOR_NOT_FOUND", { visitorId: id });
  const visitorId = known?.visitorId ?? String(row?.visitor_id);
  const at = contextOf(handler).now();
  // What is known goes first: whoever reads of the change on the log finds nothing any more.
  const devices = await forget(world, { visitorId, at, position: await own.log.head() });
  const deviceIds = [...devices];
  const position = await tell(own, handler, { visitorId, change: VisitorChange.ERASED, deviceIds });
  await forgetTold(world, devices, position);
  return { success: true };
}
