import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { ProjectorAsk, ProjectorData, ProjectorWord } from "./projector.ts";
import type { Alarm } from "./runner/fault.ts";

/** What the projector thread reports: a projection's alarm, or its own unexpected end, after which the process must end too. */
export type ProjectorAlarm = Alarm | { kind: "dead"; error: Error };

/** The thread that writes the store and runs the projections, seen from the thread that answers requests. */
export interface Projector {
  /** For `openRemoteStore`. */
  writes: MessagePort;
  /** Resolves when every projection has done all that is on the log now. */
  idle: () => Promise<void>;
  /** As `Runner.gauges`. */
  gauges: () => Promise<Readonly<Record<string, number>>>;
  /** Finishes the step at hand, closes the store, ends the thread. */
  stop: () => Promise<void>;
  /** Tells of every alarm, those before this call too. */
  onAlarm: (hear: (alarm: ProjectorAlarm) => void) => void;
}

/** Where the files lie, and what is to run. */
export interface ProjectorOptions {
  storePath: string;
  /** The log is open in this process already. */
  logPath: string;
  /** Module that exports `projections` and `models`. By default that of all services. */
  listing?: URL;
  /** Where spans are sent; nowhere without it. */
  otlpEndpoint?: string | undefined;
}

/** Starts the projector thread; rejects when it cannot open its files. */
export async function startProjector({
  storePath,
  logPath,
  listing,
  otlpEndpoint,
}: ProjectorOptions): Promise<Projector> {
  const { port1: theirs, port2: writes } = new MessageChannel();
  const data: ProjectorData = {
    role: "waymark-projector",
    storePath,
    logPath,
    listing: (listing ?? new URL("../projections.ts", import.meta.url)).href,
    writes: theirs,
    otlpEndpoint,
  };
  const worker = new Worker(new URL("../projector.ts", import.meta.url), { workerData: data, transferList: [theirs] });
  const { ready, ...thread } = converse(worker);
  try {
    await ready;
  } catch (error) {
    writes.close();
    throw error;
  }
  return { writes, ...thread };
}

type Answered = Extract<ProjectorWord, { id: number }>;

interface Waiting {
  resolve: (word: Answered) => void;
  reject: (error: Error) => void;
}

function converse(worker: Worker) {
  const waiting = new Map<number, Waiting>();
  const ready = Promise.withResolvers<void>();
  const exit = Promise.withResolvers<void>();
  const alarms = alarmsOf();
  let failure: Error | undefined;
  let ended = false;
  let stopping = false;
  let last = 0;

  worker.on("message", (word: ProjectorWord) => {
    if (word.kind === "ready") ready.resolve();
    else if (word.kind === "alarm") alarms.raise(word.alarm);
    else settle(waiting, word);
  });
  worker.on("error", (error) => {
    failure = error instanceof Error ? error : new Error("the projector thread failed", { cause: error });
  });
  worker.on("exit", () => {
    ended = true;
    const error = failure ?? new Error("the projector thread has ended");
    ready.reject(error);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    if (!stopping || failure !== undefined) alarms.raise({ kind: "dead", error });
    exit.resolve();
  });

  const ask = (kind: "gauges" | "idle") =>
    new Promise<Answered>((resolve, reject) => {
      if (ended) return reject(failure ?? new Error("the projector thread has ended"));
      last += 1;
      waiting.set(last, { resolve, reject });
      worker.postMessage({ kind, id: last } satisfies ProjectorAsk);
    });
  return {
    ready: ready.promise,
    onAlarm: alarms.onAlarm,
    idle: async () => void (await ask("idle")),
    gauges: async () => ((await ask("gauges")) as Extract<Answered, { kind: "gauges" }>).gauges,
    stop: async () => {
      stopping = true;
      worker.postMessage({ kind: "stop" } satisfies ProjectorAsk);
      await exit.promise;
    },
  };
}

function settle(waiting: Map<number, Waiting>, word: Answered): void {
  const found = waiting.get(word.id);
  waiting.delete(word.id);
  if (word.kind === "idle" && word.failure !== undefined) found?.reject(new Error(word.failure));
  else found?.resolve(word);
}

function alarmsOf() {
  const heard: ProjectorAlarm[] = [];
  const hearers: ((alarm: ProjectorAlarm) => void)[] = [];
  return {
    raise: (alarm: ProjectorAlarm) => {
      if (hearers.length === 0) heard.push(alarm);
      for (const hear of hearers) hear(alarm);
    },
    onAlarm: (hear: (alarm: ProjectorAlarm) => void) => {
      hearers.push(hear);
      for (const alarm of heard.splice(0)) hear(alarm);
    },
  };
}
