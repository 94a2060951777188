import type { MessagePort } from "node:worker_threads";
import { openSqliteLogReader } from "./log.sqlite.ts";
import type { Doc, Model } from "./model.ts";
import type { Alarm } from "./runner/fault.ts";
import { runProjections } from "./runner.ts";
import type { Projection } from "./service.ts";
import { serveStoreWrites } from "./store/serve.ts";
import { openSqliteStore } from "./store.sqlite.ts";
import type { Store } from "./store.ts";

/** What a projector thread is started with. `role` keeps its entry from acting when it is merely imported. */
export interface ProjectorData {
  role: "waymark-projector";
  storePath: string;
  logPath: string;
  /** Address of the module that exports `projections` and `models`. */
  listing: string;
  /** Where the writes of the other thread come from. */
  writes: MessagePort;
  /** Where spans of the steps are sent; nowhere without it. */
  otlpEndpoint?: string | undefined;
}

/** What a projector thread is asked. */
export type ProjectorAsk = { kind: "gauges"; id: number } | { kind: "idle"; id: number } | { kind: "stop" };

/** What a projector thread says. */
export type ProjectorWord =
  | { kind: "ready" }
  | { kind: "alarm"; alarm: Alarm }
  | { kind: "gauges"; id: number; gauges: Readonly<Record<string, number>> }
  | { kind: "idle"; id: number; failure?: string };

/**
 * Writes the store for another thread and runs all projections beside it, in the one thread that may write the file. At
 * `stop` it finishes the step and the writes at hand, closes what it opened, and lets its thread end.
 */
export async function serveProjector(parent: MessagePort, data: ProjectorData): Promise<void> {
  const { projections, models } = (await import(data.listing)) as {
    projections: readonly Projection[];
    models: readonly Model<Doc>[];
  };
  const say = (word: ProjectorWord) => parent.postMessage(word);
  const store = openSqliteStore({ path: data.storePath, models });
  serveStoreWrites(store, data.writes);
  const log = openSqliteLogReader({ path: data.logPath });
  const onError = (alarm: Alarm) => say({ kind: "alarm", alarm });
  const traces = await traced({ projections, store }, data.otlpEndpoint);
  const runner = runProjections({ ...traces.given, log, now: Date.now, onError });

  const stop = async () => {
    await runner.stop();
    await traces.stop();
    await store.close();
    await log.close();
    data.writes.close();
    parent.close();
  };
  parent.on("message", (ask: ProjectorAsk) => {
    if (ask.kind === "gauges") say({ ...ask, gauges: runner.gauges() });
    else if (ask.kind === "stop") void stop();
    else
      runner.idle().then(
        () => say(ask),
        (error: Error) => say({ ...ask, failure: error.message }),
      );
  });
  say({ kind: "ready" });
}

/** What a runner is given. */
interface Given {
  projections: readonly Projection[];
  store: Store;
}

/** With spans around the steps when they are sent anywhere. */
async function traced(
  given: Given,
  endpoint: string | undefined,
): Promise<{ given: Given; stop: () => Promise<void> }> {
  if (endpoint === undefined) return { given, stop: async () => undefined };
  const [{ startTracing }, { tracedProjection }, { tracedStore }] = await Promise.all([
    import("./tracing.ts"),
    import("./traced/projection.ts"),
    import("./traced/store.ts"),
  ]);
  const { stop } = startTracing(endpoint, "all");
  return { given: { projections: given.projections.map(tracedProjection), store: tracedStore(given.store) }, stop };
}
