import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { contextOf, type KeyClass, SYSTEM_WORKSPACE } from "#runtime/context.ts";
import { codeWord } from "#runtime/failure.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { Background, ServiceDeps } from "#runtime/service.ts";
import type { Store } from "#runtime/store.ts";
import { holdTask, LEASE_MS } from "#runtime/tasks.ts";
import { createCodes, type Draft } from "./create.ts";
import { tell } from "./desk.ts";
import { type JobDoc, type JobTaskDoc, jobModel, jobPartModel, jobTaskModel } from "./job-model.ts";
import { type CodeDoc, codeModel } from "./model.ts";

/** How long a job can be asked for. */
export const KEPT_MS = 7 * 24 * 60 * 60 * 1_000;

/** How often tasks are looked for. */
const LOOK_MS = 500;

/** After what passes by itself, one is tried again so much later. */
const AGAIN_MS = 2_000;

/** Tasks that one look fetches. */
const SOME = 20;

/** The tasks of all workspaces. */
export const tasksOf = (store: Store) => store.collection(jobTaskModel).of(SYSTEM_WORKSPACE);

interface Working {
  deps: ServiceDeps;
  owner: string;
  signal: AbortSignal;
  state: { running: number; failures: number };
}

/** Works on jobs, one at a time. Of several processes one works on a job; when it is gone, another does. */
export function startJobs(deps: ServiceDeps): Background {
  const stopping = new AbortController();
  const state = { running: 0, failures: 0 };
  const running = loop({ deps, owner: randomUUID(), signal: stopping.signal, state });
  return {
    gauges: () => ({ jobs: state.running, jobFailures: state.failures }),
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function loop(working: Working): Promise<void> {
  const { signal, state } = working;
  while (!signal.aborted) {
    try {
      await removeExpired(working);
      const task = await nextTask(working);
      if (task !== undefined) {
        await work(working, task);
        continue;
      }
    } catch {
      if (!signal.aborted) state.failures += 1;
    }
    await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Takes the oldest task that nobody works on. */
async function nextTask({ deps: { store, now }, owner }: Working): Promise<JobTaskDoc | undefined> {
  const tasks = tasksOf(store);
  const where = { isOpen: true, leaseUntil: { lte: now() } };
  for (const { id, version } of await tasks.find({ where, sort: [["createdAt", 1]], limit: SOME })) {
    const taken = await tasks.update(id, { set: { owner, leaseUntil: now() + LEASE_MS } }, { version: version ?? 0 });
    if (taken !== undefined) return taken;
  }
  return undefined;
}

async function work(working: Working, task: JobTaskDoc): Promise<void> {
  const { deps, state } = working;
  const job = await deps.store.collection(jobModel).of(task.workspaceId).get(task.id);
  if (job === undefined) return remove(deps.store, task);
  const ended = new AbortController();
  const beating = holdTask(tasksOf(deps.store), { task, owner: working.owner, now: deps.now, end: ended });
  state.running = 1;
  try {
    await make(deps, { task, job });
    await finish(deps, task, { state: "succeeded" });
  } catch (error) {
    if (!isFinal(error)) {
      await putBack(working, task);
      throw error;
    }
    const failed = { codeType: codeWord(error.code), message: error.rawMessage };
    await finish(deps, task, { state: "failed", error: failed });
  } finally {
    state.running = 0;
    ended.abort();
    await beating;
  }
}

/**
 * Makes the codes of a job and tells of them. Those that a process before has made are known by the job that they name: all
 * of them are kept, some alone are taken away first. So it may be done again, wherever it was cut off.
 */
async function make(deps: ServiceDeps, { task, job }: { task: JobTaskDoc; job: JobDoc }): Promise<void> {
  const { workspaceId } = task;
  await deps.store
    .collection(jobModel)
    .of(workspaceId)
    .update(job.id, { set: { state: "running" } });
  const codes = deps.store.collection(codeModel).of(workspaceId);
  const known = await codes.getMany(job.linkIds);
  const made = job.linkIds.flatMap((id) => {
    const doc = known.get(id);
    return doc?.jobId === job.id ? [doc] : [];
  });
  const handler = inNameOf(job, workspaceId);
  const isWhole = made.length === job.linkIds.length;
  if (!isWhole) await codes.bulk(made.map(({ id }) => ({ kind: "delete", id })));
  const docs: CodeDoc[] = isWhole
    ? made
    : await createCodes(deps.store, await draftsOf(deps.store, task), contextOf(handler));
  await tell(deps, docs, { deed: "created", handler });
}

async function draftsOf(store: Store, { id: jobId, workspaceId }: JobTaskDoc): Promise<Draft[]> {
  const parts = store.collection(jobPartModel).of(workspaceId);
  const found = await parts.find({ where: { jobId }, sort: [["number", 1]] });
  return found.flatMap(({ drafts }) => drafts);
}

/** The call of whoever began the job, as far as making codes and the audit trail look at it. */
function inNameOf({ caller, test }: JobDoc, workspace: string): Pick<HandlerContext, "values"> {
  const { keyId, keyName, keyClass, requestId, ip } = caller;
  const context = internalContext(workspace, { requestId, ip });
  const principal = { ...context.principal, keyId, keyName, keyClass: keyClass as KeyClass, test };
  const { contextValues: values } = as({ ...context, principal });
  if (values === undefined) throw new Error("a call in somebody's name has no values");
  return { values };
}

/** Whether the job can never be done, because an id or short id is taken; all else was checked before, or may be over soon. */
function isFinal(error: unknown): error is ConnectError {
  return error instanceof ConnectError && error.code === Code.AlreadyExists;
}

async function finish(
  { store, now }: ServiceDeps,
  { id, workspaceId }: JobTaskDoc,
  outcome: Pick<JobDoc, "state" | "error">,
): Promise<void> {
  const { state, error } = outcome;
  const set = { state, completedAt: now(), ...(error === undefined ? {} : { error }) };
  await store.collection(jobModel).of(workspaceId).update(id, { set });
  await removeParts(store, { id, workspaceId });
  await tasksOf(store).update(id, { set: { isOpen: false, leaseUntil: 0 } });
}

async function putBack({ deps: { store, now }, owner }: Working, { id, workspaceId }: JobTaskDoc): Promise<void> {
  await store
    .collection(jobModel)
    .of(workspaceId)
    .update(id, { set: { state: "pending" } });
  await tasksOf(store).update(id, { set: { leaseUntil: now() + AGAIN_MS } }, { where: { owner } });
}

async function removeExpired({ deps: { store, now } }: Working): Promise<void> {
  const where = { isOpen: false, expiresAt: { lte: now() } };
  for (const task of await tasksOf(store).find({ where, sort: [["createdAt", 1]], limit: SOME }))
    await remove(store, task);
}

async function remove(store: Store, task: Pick<JobTaskDoc, "id" | "workspaceId">): Promise<void> {
  await removeParts(store, task);
  await store.collection(jobModel).of(task.workspaceId).delete(task.id);
  await tasksOf(store).delete(task.id);
}

async function removeParts(store: Store, { id: jobId, workspaceId }: Pick<JobTaskDoc, "id" | "workspaceId">) {
  const parts = store.collection(jobPartModel).of(workspaceId);
  const found = await parts.find({ where: { jobId } });
  await parts.bulk(found.map(({ id }) => ({ kind: "delete", id })));
}
