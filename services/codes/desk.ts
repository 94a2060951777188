import type { HandlerContext } from "@connectrpc/connect";
import { Purpose } from "#gen/waymark/events/v1/touches_pb.ts";
import { contextOf, type Principal } from "#runtime/context.ts";
import type { ServiceDeps } from "#runtime/service.ts";
import { audit, type Deed, publish } from "./calls.ts";
import { addTags, createCodes, type Draft } from "./create.ts";
import { type CodeDoc, codeModel } from "./model.ts";

/** Fields that a caller may change. A field that is there and undefined is cleared. */
export type Edit = Partial<
  Pick<
    CodeDoc,
    | "name"
    | "prompt"
    | "welcomeMessage"
    | "template"
    | "status"
    | "destination"
    | "routing"
    | "metadata"
    | "tags"
    | "touchParameter"
  >
>;

function visible({ test }: Principal) {
  return { purpose: Purpose.MARKETING, test, deleted: false };
}

function isVisible(doc: CodeDoc, principal: Principal): boolean {
  const { purpose, test, deleted } = visible(principal);
  return doc.purpose === purpose && doc.test === test && doc.deleted === deleted;
}

/** The marketing code of this id, as far as the caller may see it. */
export async function findCode(
  deps: Pick<ServiceDeps, "store">,
  id: string,
  handler: HandlerContext,
): Promise<CodeDoc | undefined> {
  const { principal } = contextOf(handler);
  const doc = await deps.store.collection(codeModel).of(principal.workspace).get(id);
  return doc !== undefined && isVisible(doc, principal) ? doc : undefined;
}

/** The marketing codes of these ids by id, as far as the caller may see them. */
export async function findCodes(
  deps: Pick<ServiceDeps, "store">,
  ids: readonly string[],
  handler: HandlerContext,
): Promise<Map<string, CodeDoc>> {
  const { principal } = contextOf(handler);
  const docs = await deps.store.collection(codeModel).of(principal.workspace).getMany(ids);
  for (const [id, doc] of docs) if (!isVisible(doc, principal)) docs.delete(id);
  return docs;
}

/** Makes all of these codes or none, and tells of it. */
export async function makeCodes(
  deps: ServiceDeps,
  drafts: readonly Draft[],
  handler: HandlerContext,
): Promise<CodeDoc[]> {
  const docs = await createCodes(deps.store, drafts, contextOf(handler));
  await tell(deps, docs, { deed: "created", handler });
  return docs;
}

/** The code after the edit, or undefined when the caller cannot see one. An edit of nothing changes nothing. */
export async function editCode(
  deps: ServiceDeps,
  { id, edit }: { id: string; edit: Edit },
  handler: HandlerContext,
): Promise<CodeDoc | undefined> {
  const entries = Object.entries(edit);
  if (entries.length === 0) return findCode(deps, id, handler);
  const context = contextOf(handler);
  const { workspace, test } = context.principal;
  const at = context.now();
  if (edit.tags !== undefined) await addTags(deps.store, { names: edit.tags, test, workspace, at });
  const set = Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  const unset = entries.filter(([, value]) => value === undefined).map(([name]) => name);
  const change = { set: { ...set, updatedAt: at }, unset };
  const guard = { where: visible(context.principal) };
  const doc = await deps.store.collection(codeModel).of(workspace).update(id, change, guard);
  if (doc !== undefined) await tell(deps, [doc], { deed: "updated", handler });
  return doc;
}

/** Deletes a code that the caller can see; false when there is none. Its document stays and holds its ids. */
export async function removeCode(deps: ServiceDeps, id: string, handler: HandlerContext): Promise<boolean> {
  const context = contextOf(handler);
  const change = { set: { deleted: true, updatedAt: context.now() } };
  const guard = { where: visible(context.principal) };
  const doc = await deps.store.collection(codeModel).of(context.principal.workspace).update(id, change, guard);
  if (doc === undefined) return false;
  await tell(deps, [doc], { deed: "deleted", handler });
  return true;
}

/** Tells the log and the audit trail what was done with codes. */
export async function tell(
  deps: ServiceDeps,
  docs: readonly CodeDoc[],
  { deed, handler }: { deed: Deed; handler: Pick<HandlerContext, "values"> },
): Promise<void> {
  const audited = audit(deps, docs, { deed, handler });
  await publish(deps, docs, { deed, context: contextOf(handler) });
  await audited;
}
