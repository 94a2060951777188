import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import type { Collection, Store } from "#runtime/store.ts";
import { LEASE_MS } from "#runtime/tasks.ts";
import { type RevisionDoc, type RevisionTaskDoc, revisionModel, revisionTaskModel, type Work } from "./model.ts";

/** Tasks that one look fetches. */
const SOME = 50;

/** The tasks of all workspaces. */
export const tasksOf = (store: Store): Collection<RevisionTaskDoc> =>
  store.collection(revisionTaskModel).of(SYSTEM_WORKSPACE);

/** The revisions of a workspace. */
export const revisionsOf = (store: Store, workspace: string): Collection<RevisionDoc> =>
  store.collection(revisionModel).of(workspace);

/**
 * Says that something is to be done with a revision. Said before the revision is as the task needs it, and again after: so
 * whatever dies between, no revision waits for work that nobody knows of. A task whose revision is not so is left alone for
 * as long as a lease, and then dropped.
 */
export async function addTask(
  store: Store,
  { workspaceId, revisionId, work, now }: { workspaceId: string; revisionId: string; work: Work; now: number },
): Promise<void> {
  const id = `${revisionId}:${work}`;
  await tasksOf(store).insert({ id, workspaceId, revisionId, work, leaseUntil: 0, createdAt: now });
}

/** Takes the oldest task that nobody works on; `passed`: tasks that have to wait. */
export async function nextTask(
  store: Store,
  { owner, now, passed }: { owner: string; now: number; passed: ReadonlySet<string> },
): Promise<RevisionTaskDoc | undefined> {
  const tasks = tasksOf(store);
  for (const { id, leaseUntil, version } of await tasks.find({ sort: [["createdAt", 1]], limit: SOME })) {
    if (leaseUntil > now || passed.has(id)) continue;
    const taken = await tasks.update(id, { set: { owner, leaseUntil: now + LEASE_MS } }, { version: version ?? 0 });
    if (taken !== undefined) return taken;
  }
  return undefined;
}
