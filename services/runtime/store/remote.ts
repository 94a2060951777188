import type { MessagePort } from "node:worker_threads";
import { fail as refuse } from "../failure.ts";
import type { Doc, Model } from "../model.ts";
import { openReader, tablesOf } from "../store.sqlite.ts";
import type { Store } from "../store.ts";
import type { Connection } from "./connection.ts";
import { collectionsOf, type WriteCall } from "./engine.ts";
import { CLOSED, fail, translating, unpackFailure } from "./failure.ts";
import type { Ask, Reply } from "./serve.ts";
import { readProgress, readWatermark } from "./writer.ts";

/** Where the file lies, what is in it, and the way to the thread that writes it. */
export interface RemoteOptions {
  path: string;
  models: readonly Model<Doc>[];
  /** Its other end is given to `serveStoreWrites`, after `openSqliteStore` of the same path and models. */
  port: MessagePort;
  /** Most documents in writes that are not answered yet; more are refused with OVERLOADED. Default 16,384. */
  maxOutstanding?: number;
}

/**
 * Opens a store that another thread writes. Reads use a connection of this thread; a write resolves when the other thread has
 * committed it, so a read after it sees it. `batch` is no transaction here: run projections in the writer's thread.
 */
export function openRemoteStore({ path, models, port, maxOutstanding = 16_384 }: RemoteOptions): Store {
  const tables = tablesOf(models);
  const line = openLine(port, maxOutstanding);
  let reader: Connection | undefined;
  const reading = () => {
    if (line.isClosed()) throw fail("STORE_UNAVAILABLE", { why: CLOSED });
    reader ??= openReader(path);
    return reader;
  };
  const send = (call: WriteCall) => line.ask(call, call.method === "bulk" ? call.writes.length : 1);
  return {
    collection: collectionsOf({ tables, reading, send }),
    batch: (run) => run(),
    atomicBatch: false,
    watermark: async (projection) => translating(() => readWatermark(reading(), projection)),
    progress: async (projection) => translating(() => readProgress(reading(), projection)),
    begin: (projection, from, to) => send({ method: "begin", projection, from, to }) as Promise<boolean>,
    advance: (projection, from, to) => send({ method: "advance", projection, from, to }) as Promise<boolean>,
    ping: async () => {
      translating(() => void readWatermark(reading(), ""));
      await line.ask("ping", 0);
    },
    close: async () => {
      await line.close();
      reader?.close();
      reader = undefined;
    },
  };
}

interface Line {
  /** Resolves with the other end's answer. `weight` counts against the bound. */
  ask: (call: Ask["call"], weight: number) => Promise<unknown>;
  isClosed: () => boolean;
  /** Waits for the answers that are due, then hangs up. */
  close: () => Promise<void>;
}

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
  weight: number;
}

function openLine(port: MessagePort, maxOutstanding: number): Line {
  const waiting = new Map<number, Waiting>();
  let last = 0;
  let outstanding = 0;
  let ended: string | undefined;
  let drained: (() => void) | undefined;

  const settle = (number: number): Waiting | undefined => {
    const found = waiting.get(number);
    waiting.delete(number);
    outstanding -= found?.weight ?? 0;
    if (waiting.size === 0) drained?.();
    return found;
  };
  port.on("message", (replies: Reply[]) => {
    for (const reply of replies) {
      const found = settle(reply.number);
      if (reply.failure === undefined) found?.resolve(reply.value);
      else found?.reject(unpackFailure(reply.failure));
    }
  });
  port.on("close", () => {
    ended ??= "the thread that writes it has ended; start the service again";
    for (const number of [...waiting.keys()]) settle(number)?.reject(fail("STORE_UNAVAILABLE", { why: ended }));
  });
  return {
    isClosed: () => ended !== undefined,
    ask: async (call, weight) => {
      if (ended !== undefined) throw fail("STORE_UNAVAILABLE", { why: ended });
      if (outstanding > 0 && outstanding + weight > maxOutstanding) throw refuse("OVERLOADED");
      last += 1;
      port.postMessage({ number: last, call } satisfies Ask);
      outstanding += weight;
      return new Promise((resolve, reject) => waiting.set(last, { resolve, reject, weight }));
    },
    close: async () => {
      ended ??= CLOSED;
      if (waiting.size > 0)
        await new Promise<void>((resolve) => {
          drained = resolve;
        });
      port.close();
    },
  };
}
