import { randomBytes } from "node:crypto";
import { type RequestContext, SYSTEM_WORKSPACE } from "#runtime/context.ts";
import type { Store } from "#runtime/store.ts";
import { type CodeDoc, codeModel, codeTagModel, type ShortIdDoc, shortIdModel } from "./model.ts";
import { fail } from "./reasons.ts";
import { shortIdLength, shortIdOf, tagId } from "./rules.ts";
import { ATTEMPTS } from "./short-ids.ts";

/** A code that is to be made. */
export interface Draft
  extends Omit<CodeDoc, "id" | "version" | "shortId" | "test" | "deleted" | "createdAt" | "updatedAt"> {
  /** Wanted id; absent: one is made. */
  id?: string;
  /** Wanted short id; absent: one is made. */
  shortId?: string;
  /** What a refusal calls the two: "links[3].id", "links[3].shortlink". */
  called: { id: string; shortId: string };
}

/**
 * Makes all of these codes or none. Short ids are claimed first, over all workspaces; a code that dies between claim and
 * insert leaves a short id that is never given again, and the same id and short id may be sent again.
 */
export async function createCodes(store: Store, drafts: readonly Draft[], context: RequestContext): Promise<CodeDoc[]> {
  const { workspace, test } = context.principal;
  const ids = drafts.map((draft) => draft.id ?? context.newId("qpr"));
  await refuseTakenIds(store, { drafts, ids, workspace });
  const at = context.now();
  const claimed = await claim(store, { drafts, ids, workspace, at });
  await addTags(store, { names: drafts.flatMap(({ tags }) => tags), test, workspace, at });
  const docs = drafts.map(({ called: _, ...fields }, i): CodeDoc => {
    const own = { id: ids[i] as string, shortId: claimed.shortIds[i] as string };
    return { ...fields, ...own, test, deleted: false, createdAt: at, updatedAt: at };
  });
  const codes = store.collection(codeModel).of(workspace);
  const outcomes = await codes.bulk(docs.map((doc) => ({ kind: "insert", doc })));
  const lost = outcomes.findIndex(({ kind }) => kind !== "applied");
  if (lost === -1) return docs;
  const made = docs.filter((_, i) => outcomes[i]?.kind === "applied");
  await codes.bulk(made.map(({ id }) => ({ kind: "delete", id })));
  await release(store, claimed.fresh);
  throw fail("CODE_EXISTS", { field: (drafts[lost] as Draft).called.id, id: ids[lost] as string });
}

interface Batch {
  drafts: readonly Draft[];
  /** Ids of the codes, in the order of the drafts. */
  ids: readonly string[];
  workspace: string;
}

async function refuseTakenIds(store: Store, { drafts, ids, workspace }: Batch): Promise<void> {
  const wanted = ids.filter((_, i) => drafts[i]?.id !== undefined);
  if (wanted.length === 0) return;
  const taken = await store.collection(codeModel).of(workspace).getMany(wanted);
  for (const [i, { id, called }] of drafts.entries()) {
    if (id === undefined) continue;
    if (taken.has(id) || ids.indexOf(id) < i) throw fail("CODE_EXISTS", { field: called.id, id });
  }
}

interface Claimed {
  /** In the order of the drafts. */
  shortIds: string[];
  /** Those that were free before. */
  fresh: string[];
}

/** Claims a short id for each draft, or none. */
async function claim(store: Store, batch: Batch & { at: number }): Promise<Claimed> {
  const directory = store.collection(shortIdModel).of(SYSTEM_WORKSPACE);
  const claimed: Claimed = { shortIds: [], fresh: [] };
  let open = batch.drafts.map((_, i) => i);
  for (let attempt = 0; open.length > 0 && attempt < ATTEMPTS; attempt++) {
    const entries = open.map((i): ShortIdDoc => {
      const id = batch.drafts[i]?.shortId ?? shortIdOf(randomBytes(shortIdLength(attempt)));
      return { id, workspaceId: batch.workspace, codeId: batch.ids[i] as string, claimedAt: batch.at };
    });
    const outcomes = await directory.bulk(entries.map((doc) => ({ kind: "insert", doc })));
    const still: number[] = [];
    for (const [n, outcome] of outcomes.entries()) {
      const [i, entry] = [open[n] as number, entries[n] as ShortIdDoc];
      if (outcome.kind === "applied") claimed.fresh.push(entry.id);
      if (outcome.kind === "applied" || (outcome.kind === "exists" && isSame(outcome.doc, entry)))
        claimed.shortIds[i] = entry.id;
      else still.push(i);
    }
    open = still;
    const refused = open.find((i) => batch.drafts[i]?.shortId !== undefined);
    if (refused !== undefined) throw await refusal(store, { claimed, draft: batch.drafts[refused] as Draft });
  }
  if (open.length === 0) return claimed;
  await release(store, claimed.fresh);
  throw fail("SHORT_IDS_CROWDED");
}

function isSame(a: ShortIdDoc, b: ShortIdDoc): boolean {
  return a.workspaceId === b.workspaceId && a.codeId === b.codeId;
}

async function refusal(store: Store, { claimed, draft }: { claimed: Claimed; draft: Draft }): Promise<Error> {
  await release(store, claimed.fresh);
  return fail("SHORT_ID_TAKEN", { field: draft.called.shortId, shortId: draft.shortId ?? "" });
}

async function release(store: Store, shortIds: readonly string[]): Promise<void> {
  const directory = store.collection(shortIdModel).of(SYSTEM_WORKSPACE);
  await directory.bulk(shortIds.map((id) => ({ kind: "delete", id })));
}

/** Remembers when each tag was first used. */
export async function addTags(
  store: Store,
  given: { names: readonly string[]; test: boolean; workspace: string; at: number },
): Promise<void> {
  const { names, test, workspace, at } = given;
  if (names.length === 0) return;
  const docs = [...new Set(names)].map((name) => ({ id: tagId(name, test), name, test, createdAt: at }));
  await store
    .collection(codeTagModel)
    .of(workspace)
    .bulk(docs.map((doc) => ({ kind: "insert", doc })));
}
