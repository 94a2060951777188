import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { reasonOf } from "#runtime/failure.ts";
import type { Background, ServiceDeps } from "#runtime/service.ts";
import { holdTask, LEASE_MS } from "#runtime/tasks.ts";
import type { Duck } from "../engine/duck.ts";
import type { Gate } from "../engine/gate.ts";
import { applyParts } from "./apply.ts";
import { computeDifference } from "./compute.ts";
import { partModel, type RevisionDoc, type RevisionTaskDoc, type State, type Work } from "./model.ts";
import { removeParts } from "./parts.ts";
import { nextTask, revisionsOf, tasksOf } from "./tasks.ts";

/** How often tasks are looked for. */
const LOOK_MS = 300;

/** What the runner works with. */
export type RunnerDeps = Pick<ServiceDeps, "store" | "log" | "client" | "now"> & { engine: Gate<Duck> };

interface Working extends RunnerDeps {
  owner: string;
  state: { running: number; failures: number };
  signal: AbortSignal;
}

/** Computes and applies revisions, one thing at a time. Of several processes one works on a revision; when it is gone, another does. */
export function startRevisions(deps: RunnerDeps): Background {
  const stopping = new AbortController();
  const state = { running: 0, failures: 0 };
  const running = loop({ ...deps, owner: randomUUID(), state, signal: stopping.signal });
  return {
    gauges: () => ({ revisions: state.running, revisionFailures: state.failures }),
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function loop(working: Working): Promise<void> {
  const { signal, state, store, owner, now } = working;
  let passed = new Set<string>();
  while (!signal.aborted) {
    try {
      const task = await nextTask(store, { owner, now: now(), passed });
      if (task !== undefined) {
        if (!(await work(working, task))) passed.add(task.id);
        continue;
      }
    } catch {
      if (!signal.aborted) state.failures += 1;
    }
    passed = new Set();
    await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** What a revision has to be for each work. */
const NEEDS: Readonly<Record<Work, readonly State[]>> = {
  compute: ["queued", "running"],
  apply: ["applying", "applied"],
  discard: ["discarded"],
};

/** What it may be a moment before: the task is said first. */
const BEFORE: Readonly<Record<Work, readonly (State | undefined)[]>> = {
  compute: [undefined],
  apply: ["ready"],
  discard: ["queued", "running", "ready", "failed"],
};

/** Works on a task. False: it waits, for itself or for others. */
async function work(working: Working, task: RevisionTaskDoc): Promise<boolean> {
  const { store, state, now, owner } = working;
  const held = () => tasksOf(store).update(task.id, { set: { leaseUntil: 0 } }, { where: { owner } });
  const doc = await revisionsOf(store, task.workspaceId).get(task.revisionId);
  if (doc === undefined || !NEEDS[task.work].includes(doc.state)) {
    if (BEFORE[task.work].includes(doc?.state) && now() - task.createdAt < LEASE_MS) {
      await held();
      return false;
    }
    await tasksOf(store).delete(task.id);
    return true;
  }
  const calledOff = new AbortController();
  const signal = AbortSignal.any([working.signal, calledOff.signal]);
  state.running = 1;
  const beating = holdTask(tasksOf(store), { task, owner, now, end: calledOff });
  try {
    if (await DO[task.work]({ ...working, signal }, { task, doc })) {
      await tasksOf(store).delete(task.id);
      return true;
    }
    await held();
    return false;
  } catch (error) {
    await held().catch(() => undefined);
    throw error;
  } finally {
    state.running = 0;
    calledOff.abort();
    await beating;
  }
}

interface Given {
  task: RevisionTaskDoc;
  doc: RevisionDoc;
}

/** Does a work; false: it cannot be done yet. */
const DO: Readonly<Record<Work, (working: Working, given: Given) => Promise<boolean>>> = {
  compute,
  apply,
  discard,
};

async function compute(working: Working, { task, doc }: Given): Promise<boolean> {
  const { store, client, engine, signal, now } = working;
  const { workspaceId: workspace } = task;
  const revisions = revisionsOf(store, workspace);
  const wanted = { where: { state: { in: ["queued", "running"] as State[] } } };
  const onProgress = async (progress: number): Promise<void> => {
    if ((await revisions.update(doc.id, { set: { progress, state: "running" } }, wanted)) === undefined) throw UNWANTED;
  };
  try {
    const duck = await engine.pass(signal);
    await onProgress(0);
    const found = await computeDifference({ ...{ duck, workspace, doc, client, store, signal }, onProgress });
    const ready: Partial<RevisionDoc> = { ...found, state: "ready", progress: 1, computedAt: now() };
    await revisions.update(doc.id, { set: ready }, wanted);
    return true;
  } catch (error) {
    if (error === UNWANTED) return true;
    if (signal.aborted) throw error;
    if (isElsewhere(error)) return false;
    await removeParts(store.collection(partModel).of(workspace), doc.id);
    const sentence = reasonOf(error) === undefined ? "the difference could not be computed" : rawOf(error);
    await revisions.update(doc.id, { set: { state: "failed", error: sentence } }, wanted);
    return true;
  }
}

/** Whoever asked for the revision has discarded it. */
const UNWANTED = new Error("the revision was discarded");

/** What is asked of others does not answer now. */
function isElsewhere(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.Unavailable || code === Code.DeadlineExceeded;
}

function rawOf(error: unknown): string {
  return ConnectError.from(error).rawMessage;
}

async function apply(working: Working, { task, doc }: Given): Promise<boolean> {
  const { store, log, signal, now } = working;
  const { workspaceId: workspace } = task;
  if (doc.state === "applying") {
    try {
      await applyParts({ store, log, workspace, doc, signal });
    } catch (error) {
      if (signal.aborted || !isElsewhere(error)) throw error;
      return false;
    }
    const set: Partial<RevisionDoc> = { state: "applied", progress: 1, appliedAt: now() };
    await revisionsOf(store, workspace).update(doc.id, { set }, { where: { state: "applying" } });
  }
  await removeParts(store.collection(partModel).of(workspace), doc.id);
  return true;
}

/** Removes what is left of a revision, once nobody computes it any more. */
async function discard({ store }: Working, { task, doc }: Given): Promise<boolean> {
  const computing = await tasksOf(store).get(`${doc.id}:compute`);
  if (computing !== undefined) return false;
  await removeParts(store.collection(partModel).of(task.workspaceId), doc.id);
  await revisionsOf(store, task.workspaceId).delete(doc.id);
  return true;
}
