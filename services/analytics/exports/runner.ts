import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { SYSTEM_WORKSPACE } from "#runtime/context.ts";
import type { Background, ServiceDeps } from "#runtime/service.ts";
import type { Store } from "#runtime/store.ts";
import { holdTask, LEASE_MS } from "#runtime/tasks.ts";
import type { Duck } from "../engine/duck.ts";
import type { Gate } from "../engine/gate.ts";
import { type ExportDoc, exportModel, type TaskDoc, taskModel } from "./model.ts";
import { writeFiles } from "./write.ts";

/** How often tasks are looked for. */
const LOOK_MS = 500;

/** After what passes by itself, one is tried again so much later. */
const AGAIN_MS = 2_000;

/** Tasks that one look fetches. */
const SOME = 20;

/** How often this replica looks for files that no task knows. */
const SWEEP_MS = 60_000;

/** Makes exports, one at a time, and removes them when their time is over. */
export interface ExportRunner extends Background {
  /** Where the files of an export lie. */
  folderOf: (id: string) => string;
  /** This replica: the one whose disk has the files. */
  replica: string;
}

/** What the runner works with. */
export type RunnerDeps = Pick<ServiceDeps, "store" | "now"> & { engine: Gate<Duck>; folder: string; maxGb: number };

/** The tasks of all workspaces. */
export const tasksOf = (store: Store) => store.collection(taskModel).of(SYSTEM_WORKSPACE);

/** The name of this replica, kept with its files. */
export function replicaOf(folder: string): string {
  const path = join(folder, "replica");
  mkdirSync(folder, { recursive: true });
  if (!existsSync(path)) writeFileSync(path, randomUUID());
  return readFileSync(path, "utf8");
}

/** Starts working on what is to be exported. Of several processes one works on an export; when it is gone, another does. */
export function startExports(deps: RunnerDeps): ExportRunner {
  const stopping = new AbortController();
  const state = { running: 0, failures: 0 };
  const replica = replicaOf(deps.folder);
  const folderOf = (id: string) => join(deps.folder, id);
  const working = { ...deps, owner: randomUUID(), replica, folderOf, state, signal: stopping.signal };
  const running = loop(working);
  return {
    folderOf,
    replica,
    gauges: () => ({ exports: state.running, exportFailures: state.failures }),
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

interface Working extends RunnerDeps {
  owner: string;
  replica: string;
  folderOf: (id: string) => string;
  state: { running: number; failures: number };
  signal: AbortSignal;
}

async function loop(working: Working): Promise<void> {
  const { signal, state } = working;
  let sweptAt = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    try {
      await removeExpired(working);
      if (performance.now() - sweptAt >= SWEEP_MS) {
        await sweep(working);
        sweptAt = performance.now();
      }
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
async function nextTask({ store, now, owner, replica }: Working): Promise<TaskDoc | undefined> {
  const tasks = tasksOf(store);
  const open = await tasks.find({ where: { isOpen: true }, sort: [["createdAt", 1]], limit: SOME });
  for (const { id, leaseUntil, version, ...task } of open) {
    const isFresh = task.owner === undefined && task.replica === replica;
    if (leaseUntil > now() && !isFresh) continue;
    const taken = await tasks.update(id, { set: { owner, leaseUntil: now() + LEASE_MS } }, { version: version ?? 0 });
    if (taken !== undefined) return taken;
  }
  return undefined;
}

async function work(working: Working, task: TaskDoc): Promise<void> {
  const { store, state } = working;
  const doc = await store.collection(exportModel).of(task.workspaceId).get(task.id);
  if (doc === undefined) return void (await tasksOf(store).delete(task.id));
  const calledOff = new AbortController();
  const signal = AbortSignal.any([working.signal, calledOff.signal]);
  state.running = 1;
  const beating = holdTask(tasksOf(store), { task, owner: working.owner, now: working.now, end: calledOff });
  try {
    await make(working, { task, doc, signal });
  } catch (error) {
    if (calledOff.signal.aborted) throw error;
    if (signal.aborted || isPassing(error)) await putBack(working, task);
    else await giveUp(working, task, error);
    throw error;
  } finally {
    state.running = 0;
    calledOff.abort();
    await beating;
  }
}

async function make(
  { store, now, folderOf, engine, replica, maxGb }: Working,
  { task, doc, signal }: { task: TaskDoc; doc: ExportDoc; signal: AbortSignal },
): Promise<void> {
  const exports = store.collection(exportModel).of(task.workspaceId);
  const duck = await engine.pass(signal);
  await exports.update(doc.id, { set: { state: "running" } });
  const onProgress = async (progress: { upTo: number; rows: number; totalRows: number }) =>
    void (await exports.update(doc.id, { set: progress }));
  const given = { duck, workspace: task.workspaceId, doc, folder: folderOf(doc.id), signal, maxGb, onProgress };
  const { upTo, files } = await writeFiles(given);
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const done: Partial<ExportDoc> = { state: "done", upTo, rows, totalRows: rows, files: { list: files } };
  await exports.update(doc.id, { set: { ...done, replica, finishedAt: now() } });
  await tasksOf(store).update(task.id, { set: { isOpen: false, leaseUntil: 0 } });
}

/** Nothing is wrong with the export: somebody begins it again, this process not before others had their turn. */
async function putBack({ store, now, owner, signal }: Working, { id, workspaceId }: TaskDoc): Promise<void> {
  await store
    .collection(exportModel)
    .of(workspaceId)
    .update(id, { set: { state: "queued" } });
  const leaseUntil = signal.aborted ? 0 : now() + AGAIN_MS;
  await tasksOf(store).update(id, { set: { leaseUntil } }, { where: { owner } });
}

async function giveUp({ store, now, folderOf }: Working, { id, workspaceId }: TaskDoc, cause: unknown): Promise<void> {
  const error = cause instanceof ConnectError ? cause.rawMessage : "the files could not be written";
  await rm(folderOf(id), { recursive: true, force: true });
  await store
    .collection(exportModel)
    .of(workspaceId)
    .update(id, { set: { state: "failed", error, finishedAt: now() } });
  await tasksOf(store).update(id, { set: { isOpen: false, leaseUntil: 0 } });
}

/** Whether what went wrong may be over soon: the table is being made from the log, the store does not answer. */
function isPassing(error: unknown): boolean {
  return error instanceof ConnectError && (error.code === Code.Unavailable || error.code === Code.Aborted);
}

/** Removes exports whose time is over, with what lies here of them. */
async function removeExpired({ store, now, folderOf }: Working): Promise<void> {
  const old = await tasksOf(store).find({ where: { isOpen: false }, sort: [["createdAt", 1]], limit: SOME });
  for (const { id, workspaceId, expiresAt } of old) {
    if (expiresAt > now()) continue;
    await rm(folderOf(id), { recursive: true, force: true });
    await store.collection(exportModel).of(workspaceId).delete(id);
    await tasksOf(store).delete(id);
  }
}

/** Removes files here of exports that are gone: another replica may have removed them, or a process died in the middle. */
async function sweep({ store, folder, folderOf }: Working): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true });
  const ids = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const known = await tasksOf(store).getMany(ids);
  for (const id of ids) if (!known.has(id)) await rm(folderOf(id), { recursive: true, force: true });
}
