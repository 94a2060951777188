import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Connection } from "./connection.ts";
import { CLOSED, fail, translate } from "./failure.ts";

/** Most writes that share one transaction. */
const GROUP = 512;

/** The order in which writes reach a connection. */
export interface Turns {
  /** Runs a write: inside a batch at once, otherwise in one transaction with the others of this turn of the event loop. */
  write: <R>(run: () => R) => Promise<R>;
  /** Runs the writes of `run` in one transaction of their own; other writes wait. Inside a batch it joins that. */
  batch: <R>(run: () => Promise<R>) => Promise<R>;
  /** True within `run` of the batch that is open. */
  inBatch: () => boolean;
  /** Lets what was asked before finish and refuses what comes later. */
  close: () => Promise<void>;
}

interface Job {
  kind: "write" | "batch";
  run: () => unknown;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

interface Batch {
  failure?: unknown;
}

/** Makes the turns of a connection: first come, first served. */
export function takeTurns({ db, prepare }: Connection): Turns {
  const batches = new AsyncLocalStorage<Batch>();
  const queue: Job[] = [];
  let open: Batch | undefined;
  let working: Promise<void> | undefined;
  let closed = false;

  let isFull = true;

  /**
   * A write of a request is on the disk before it is confirmed. The step of a projection need not be: after a power cut the
   * file is as it was at an earlier step, watermark included, and the log, which is on the disk, is read again from there.
   */
  const begin = (sync: "FULL" | "NORMAL") => {
    if (isFull !== (sync === "FULL")) db.exec(`PRAGMA synchronous = ${sync}`);
    isFull = sync === "FULL";
    prepare("BEGIN IMMEDIATE").run();
  };
  const commit = () => prepare("COMMIT").run();
  const rollback = () => {
    if (db.isTransaction) db.exec("ROLLBACK");
  };

  /** Each write stands alone; when the transaction itself breaks, all of them fail. */
  function commitGroup(jobs: readonly Job[]): void {
    const settled: (() => void)[] = [];
    try {
      begin("FULL");
      for (const { run, resolve, reject } of jobs) {
        try {
          const value = run();
          settled.push(() => resolve(value));
        } catch (error) {
          if (!db.isTransaction) throw error;
          settled.push(() => reject(translate(error)));
        }
      }
      commit();
    } catch (error) {
      rollback();
      const failure = translate(error);
      for (const { reject } of jobs) reject(failure);
      return;
    }
    for (const settle of settled) settle();
  }

  async function commitBatch({ run, resolve, reject }: Job): Promise<void> {
    const batch: Batch = {};
    try {
      begin("NORMAL");
      open = batch;
      const value = await batches.run(batch, run as () => Promise<unknown>);
      if (batch.failure !== undefined) throw batch.failure;
      open = undefined;
      commit();
      resolve(value);
    } catch (error) {
      open = undefined;
      rollback();
      reject(translate(error));
    }
  }

  async function work(): Promise<void> {
    await nextTurn();
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      if (job.kind === "batch") {
        await commitBatch(job);
      } else {
        const group = [job];
        while (queue[0]?.kind === "write" && group.length < GROUP) group.push(queue.shift() as Job);
        commitGroup(group);
      }
      if (queue.length > 0) await nextTurn();
    }
    working = undefined;
  }

  function enqueue(kind: Job["kind"], run: () => unknown): Promise<unknown> {
    if (closed) return Promise.reject(fail("STORE_UNAVAILABLE", { why: CLOSED }));
    return new Promise((resolve, reject) => {
      queue.push({ kind, run, resolve, reject });
      working ??= work();
    });
  }

  function join<R>(batch: Batch, run: () => R): R {
    if (batch.failure !== undefined) throw batch.failure;
    try {
      return run();
    } catch (error) {
      const failure = translate(error);
      if (failure !== error || !db.isTransaction) batch.failure = failure;
      throw failure;
    }
  }

  const inBatch = () => open !== undefined && batches.getStore() === open;
  return {
    inBatch,
    write: async <R>(run: () => R) =>
      open !== undefined && inBatch() ? join(open, run) : ((await enqueue("write", run)) as R),
    batch: async <R>(run: () => Promise<R>) => (inBatch() ? run() : ((await enqueue("batch", run)) as R)),
    close: async () => {
      closed = true;
      await working;
    },
  };
}
