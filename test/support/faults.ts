import { setImmediate as nextTurn } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import type { Log, LogEntry } from "#runtime/log.ts";
import type { Doc, Model } from "#runtime/model.ts";
import { readsOf, withCollections } from "#runtime/runner/stores.ts";
import type { Projection } from "#runtime/service.ts";
import type { Collection, Store, Write } from "#runtime/store.ts";

/** What befalls one step of a projection before it is done. */
export interface StepPlan {
  /** Entries of the step. */
  size: number;
  /** Runs that die after so many writes, one after another. */
  deaths: readonly number[];
  /** A run that stops before its call of this number and goes on so many steps later. */
  zombie?: { at: number; steps: number } | undefined;
  /** Two runs at once, whose calls take turns as these numbers say. */
  twins?: readonly number[] | undefined;
}

const fewOrMany = fc.oneof(fc.nat({ max: 4 }), fc.nat({ max: 60 }));

/** Plans of steps; they are repeated until all entries are in. */
export const stepPlans: fc.Arbitrary<StepPlan[]> = fc.array(
  fc.record({
    size: fc.integer({ min: 1, max: 6 }),
    deaths: fc.array(fewOrMany, { maxLength: 3 }),
    zombie: fc.option(fc.record({ at: fc.nat({ max: 12 }), steps: fc.integer({ min: 0, max: 3 }) }), {
      nil: undefined,
    }),
    twins: fc.option(fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 8 }), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 6 },
);

/** What to project, and on what. */
export interface Course {
  projection: Projection;
  entries: readonly LogEntry[];
  plans: readonly StepPlan[];
  store: Store;
  now: () => number;
}

/** Projects step by step as planned, without any fault. */
export async function projectCleanly({ projection, entries, plans, store, now }: Course): Promise<void> {
  for (const { step } of stepsOf(entries, plans)) await projection.project(step, { store, now });
}

/** Projects the same steps with all faults of the plans. Each step is done once by a run that nothing befalls, as the runner does it. */
export async function projectThroughFaults({ projection, entries, plans, store, now }: Course): Promise<void> {
  const run = (step: readonly LogEntry[], on: Store) => projection.project(step, { store: on, now });
  const zombies: { until: number; wake: () => Promise<void> }[] = [];
  for (const [index, { step, plan }] of stepsOf(entries, plans).entries()) {
    for (const writes of plan.deaths) await run(step, dying(store, writes)).catch(onlyDeath);
    if (plan.zombie !== undefined) {
      const { store: stopping, stopped, wake } = stoppingAt(store, plan.zombie.at);
      const done = run(step, stopping).catch(() => {});
      await Promise.race([stopped, done]);
      zombies.push({ until: index + plan.zombie.steps, wake: () => wake().then(() => done) });
    }
    if (plan.twins !== undefined)
      await Promise.all([run(step, slowed(store, plan.twins)), run(step, slowed(store, plan.twins.toReversed()))]);
    else await run(step, store);
    for (const zombie of zombies) if (zombie.until === index) await zombie.wake();
  }
  for (const { wake } of zombies) await wake();
}

function stepsOf(entries: readonly LogEntry[], plans: readonly StepPlan[]) {
  const steps: { step: readonly LogEntry[]; plan: StepPlan }[] = [];
  for (let at = 0; at < entries.length; ) {
    const plan = plans[steps.length % plans.length] as StepPlan;
    steps.push({ step: entries.slice(at, at + plan.size), plan });
    at += plan.size;
  }
  return steps;
}

/** All documents of these models in these workspaces, without their versions: repetition may count those up. */
export async function dumpOf(
  store: Store,
  { models, workspaces }: { models: readonly Model<Doc>[]; workspaces: string[] },
) {
  const dump: Record<string, Doc[]> = {};
  for (const model of models) {
    for (const workspace of workspaces) {
      const docs = await store.collection(model).of(workspace).find({});
      dump[`${workspace}/${model.name}`] = docs.map(({ version: _, ...doc }) => doc);
    }
  }
  return dump;
}

/** The same store as one whose steps are no transactions. */
export function unbatched(store: Store): Store {
  return { ...withCollections(store, (collection) => collection), atomicBatch: false, batch: (run) => run() };
}

/** A store whose process dies after so many writes: the rest of a bulk is not written, and nothing after it. */
export function dying(store: Store, writes: number): Store {
  let left = writes;
  const die = () => new ConnectError("the process has died", Code.Unavailable);
  const spend = async <R>(write: () => Promise<R>): Promise<R> => {
    left -= 1;
    if (left < 0) throw die();
    return write();
  };
  const wrap = <T extends Doc>(collection: Collection<T>): Collection<T> => ({
    ...readsOf(collection),
    insert: (doc) => spend(() => collection.insert(doc)),
    update: (id, change, guard) => spend(() => collection.update(id, change, guard)),
    delete: (id) => spend(() => collection.delete(id)),
    bulk: async (list: readonly Write<T>[]) => {
      const possible = list.slice(0, Math.max(0, left));
      left -= list.length;
      const outcomes = await collection.bulk(possible);
      if (left < 0) throw die();
      return outcomes;
    },
  });
  return {
    ...withCollections(store, wrap),
    begin: (projection, from, to) => spend(() => store.begin(projection, from, to)),
    advance: (projection, from, to) => spend(() => store.advance(projection, from, to)),
  };
}

function onlyDeath(error: Error): void {
  if (!error.message.includes("the process has died")) throw error;
}

/** A store whose calls each wait for a few turns of the event loop, as these numbers say, again and again. */
export function slowed(store: Store, turns: readonly number[]): Store {
  let calls = 0;
  return beforeEach(store, async () => {
    for (let left = turns[calls++ % turns.length] as number; left > 0; left -= 1) await nextTurn();
  });
}

/** A store whose process stops before its call of this number, until it is woken. */
export function stoppingAt(store: Store, at: number) {
  const [stopped, woken] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let calls = 0;
  const stopping = beforeEach(store, async () => {
    if (calls++ < at) return;
    stopped.resolve();
    await woken.promise;
  });
  const wake = async () => woken.resolve();
  return { store: stopping, stopped: stopped.promise, wake };
}

/** A store before each of whose calls something is waited for. */
function beforeEach(store: Store, wait: () => Promise<void>): Store {
  const after =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      await wait();
      return call(...args);
    };
  const wrap = <T extends Doc>(collection: Collection<T>): Collection<T> => ({
    insert: after(collection.insert),
    get: after(collection.get),
    getMany: after(collection.getMany),
    find: after(collection.find),
    count: after(collection.count),
    stream: (query) => collection.stream(query),
    update: after(collection.update),
    bulk: after(collection.bulk),
    delete: after(collection.delete),
  });
  return {
    ...withCollections(store, wrap),
    watermark: after(store.watermark),
    progress: after(store.progress),
    begin: after(store.begin),
    advance: after(store.advance),
  };
}

/** Each word as an entry of a log, at positions 10, 20, 30, … */
export function wordEntries(words: readonly string[]): LogEntry[] {
  return words.map((word, index) => ({
    position: (index + 1) * 10,
    partition: 0,
    subject: "touches.marketing",
    payload: Buffer.from(word),
    appendedAt: 0,
  }));
}

/** A log of these entries. Whoever follows it waits for what never comes. */
export function listLog(entries: readonly LogEntry[]): Pick<Log, "read" | "head"> {
  return {
    head: async () => entries.at(-1)?.position ?? 0,
    read: async function* ({ after, subjects, chunk = 256, follow }) {
      const rest = entries.filter(
        ({ position, subject }) => position > after && (subjects === undefined || subjects.includes(subject)),
      );
      for (let at = 0; at < rest.length && follow?.aborted !== true; at += chunk) yield rest.slice(at, at + chunk);
      if (follow === undefined || follow.aborted) return;
      await new Promise<void>((resolve) => follow.addEventListener("abort", () => resolve(), { once: true }));
    },
  };
}
