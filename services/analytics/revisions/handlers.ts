import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  CreateRevisionRequest,
  ListRevisionsRequest,
  RevisionService,
} from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { contextOf } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { type AnalyticsDeps, ask } from "../asking.ts";
import { fail } from "../reasons.ts";
import { firstMs, lastMs } from "../scope.ts";
import { hasRules, rulesOf, shown } from "./messages.ts";
import type { RevisionDoc, State } from "./model.ts";
import { addTask, revisionsOf } from "./tasks.ts";

/** What the handlers need beside. */
export type RevisionDeps = AnalyticsDeps & Pick<ServiceDeps, "now">;

/** Revisions of a workspace that may be computed, ready or being applied. */
const MOST_OPEN = 20;
const OPEN: readonly State[] = ["queued", "running", "ready", "applying"];

/** Those that may be discarded. */
const DISCARDABLE: readonly State[] = ["queued", "running", "ready", "failed"];

/** Handlers of RevisionService. */
export function revisionHandlers(own: RevisionDeps): ServiceImpl<typeof RevisionService> {
  return {
    createRevision: async (request, handler) => ({ revision: shown(await make(own, request, handler)) }),
    listRevisions: (request, handler) => list(own, request, handler),
    getRevision: async ({ id }, handler) => {
      const doc = await find(own, id, handler);
      return { revision: shown(doc, await userAgentsOf(own, doc, handler)) };
    },
    applyRevision: async ({ id }, handler) => ({ revision: shown(await apply(own, id, handler)) }),
    deleteRevision: async ({ id }, handler) => {
      const { workspace } = contextOf(handler).principal;
      const { state } = await find(own, id, handler);
      const refusal = (now: State) => fail("REVISION_APPLIED", { revisionId: id, state: now });
      if (!DISCARDABLE.includes(state)) throw refusal(state);
      const task = { workspaceId: workspace, revisionId: id, work: "discard", now: own.now() } as const;
      await addTask(own.store, task);
      const guard = { where: { state: { in: DISCARDABLE } } };
      const gone = await revisionsOf(own.store, workspace).update(id, { set: { state: "discarded" } }, guard);
      if (gone === undefined) throw refusal((await find(own, id, handler)).state);
      await addTask(own.store, task);
      return {};
    },
  };
}

async function find({ store }: RevisionDeps, id: string, handler: HandlerContext): Promise<RevisionDoc> {
  const { workspace, test } = contextOf(handler).principal;
  const doc = await revisionsOf(store, workspace).get(id);
  if (doc === undefined || doc.test !== test || doc.state === "discarded")
    throw fail("REVISION_NOT_FOUND", { revisionId: id });
  return doc;
}

async function make(own: RevisionDeps, request: CreateRevisionRequest, handler: HandlerContext): Promise<RevisionDoc> {
  const { startDate, endDate, linkId } = request;
  const rules = rulesOf(request.rules);
  if (!hasRules(rules)) throw fail("REVISION_RULES_MISSING", { field: "rules" });
  const { floor } = await ask(own, handler, { startDate, endDate });
  const { principal, now, newId } = contextOf(handler);
  const { workspace, test } = principal;
  const revisions = revisionsOf(own.store, workspace);
  if ((await revisions.count({ state: { in: OPEN } })) >= MOST_OPEN) throw fail("REVISIONS_BUSY", { most: MOST_OPEN });
  const doc: RevisionDoc = {
    ...{ id: newId("rev"), test, state: "queued", progress: 0, applied: 0, rules, createdAt: now() },
    start: startDate === undefined ? 0 : Number(firstMs(startDate)),
    end: endDate === undefined ? now() : Number(lastMs(endDate)),
    ...(floor !== undefined && { floor: floor.at }),
    ...(linkId !== "" && { linkId }),
  };
  await addTask(own.store, { workspaceId: workspace, revisionId: doc.id, work: "compute", now: own.now() });
  await revisions.insert(doc);
  await addTask(own.store, { workspaceId: workspace, revisionId: doc.id, work: "compute", now: own.now() });
  return doc;
}

async function list(own: RevisionDeps, { pageSize, pageToken }: ListRevisionsRequest, handler: HandlerContext) {
  const { workspace, test } = contextOf(handler).principal;
  const size = Math.min(pageSize ?? 20, 100);
  const skip = pageToken === "" ? 0 : Number(/^o([0-9]{1,9})$/.exec(pageToken)?.[1] ?? Number.NaN);
  if (Number.isNaN(skip)) throw fail("PAGE_TOKEN_INVALID", { field: "page_token" });
  const where = { test, state: { ne: "discarded" as const } };
  const docs = await revisionsOf(own.store, workspace).find({
    ...{ where, sort: [["createdAt", -1]] as const, skip, limit: size + 1 },
  });
  const nextPageToken = docs.length > size ? `o${skip + size}` : "";
  return { revisions: docs.slice(0, size).map((doc) => shown(doc)), nextPageToken };
}

/** The user agents of a sample. They are read when they are shown: what was erased meanwhile is not there. */
async function userAgentsOf(
  own: RevisionDeps,
  { difference, test }: RevisionDoc,
  handler: HandlerContext,
): Promise<Map<string, string>> {
  const ids = (difference?.sample ?? []).map(({ id }) => id);
  if (ids.length === 0) return new Map();
  const { workspace } = contextOf(handler).principal;
  const duck = await own.engine.pass(handler.signal);
  const sql = `SELECT id, user_agent FROM events WHERE workspace = $workspace AND test = $test AND user_agent IS NOT NULL
    AND id IN (SELECT unnest($ids))`;
  const rows = await duck.rows(sql, { workspace, test, ids }, handler.signal);
  return new Map(rows.map((row) => [String(row.id), String(row.user_agent)]));
}

async function apply(own: RevisionDeps, id: string, handler: HandlerContext): Promise<RevisionDoc> {
  const context = contextOf(handler);
  const { workspace } = context.principal;
  const revisions = revisionsOf(own.store, workspace);
  const doc = await find(own, id, handler);
  if (doc.state !== "ready") throw fail("REVISION_NOT_READY", { revisionId: id, state: doc.state });
  await refuseStale(own, doc, workspace);
  const task = { workspaceId: workspace, revisionId: id, work: "apply", now: own.now() } as const;
  await addTask(own.store, task);
  const set: Partial<RevisionDoc> = { state: "applying", progress: 0, revisedAt: context.now() };
  const begun = await revisions.update(id, { set }, { where: { state: "ready" } });
  if (begun === undefined) {
    const { state } = await find(own, id, handler);
    throw fail("REVISION_NOT_READY", { revisionId: id, state });
  }
  await addTask(own.store, task);
  return begun;
}

/** Refuses a difference that another revision, applied since, has made untrue. */
async function refuseStale({ store }: RevisionDeps, doc: RevisionDoc, workspace: string): Promise<void> {
  const where = { test: doc.test, state: { in: ["applying", "applied"] as State[] } };
  for await (const docs of revisionsOf(store, workspace).stream({ where }))
    for (const other of docs) {
      const isKnown = other.state === "applied" && (other.lastPosition ?? 0) <= (doc.upTo ?? 0);
      const isElsewhere = other.linkId !== doc.linkId && other.linkId !== undefined && doc.linkId !== undefined;
      if (isKnown || isElsewhere || other.end < doc.start || other.start > doc.end) continue;
      throw fail("REVISION_STALE", { revisionId: doc.id, other: other.id });
    }
}
