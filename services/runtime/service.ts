import type { DescService } from "@bufbuild/protobuf";
import type { Client, ConnectRouter } from "@connectrpc/connect";
import type { Config } from "./config.ts";
import type { Log, LogEntry, Subject } from "./log.ts";
import type { Doc, Model } from "./model.ts";
import type { Secrets } from "./secrets.ts";
import type { Store } from "./store.ts";

/** What the host gives to a service. */
export interface ServiceDeps {
  config: Config;
  store: Store;
  log: Log;
  secrets: Secrets;
  /** A client of another service, in this process or another; pass `forward(context)` with each call. */
  client: <S extends DescService>(service: S) => Client<S>;
  /** Milliseconds since 1970. For work outside a request; in a handler use `contextOf(context).now()`. */
  now: () => number;
  /** As in RequestContext. */
  newId: (prefix: string) => string;
  /** Tells the person who started Waymark something once, on the terminal and nowhere else: a first key. */
  announce: (what: string, value: string) => void;
}

/** What a projection works with. */
export interface ProjectDeps {
  store: Store;
  /** Milliseconds since 1970. */
  now: () => number;
}

/**
 * Builds what a service answers from, out of the log. The runner calls `project` with the entries of one step, in order, and moves
 * the watermark after it: in one transaction where `store.atomicBatch`. Where it is not, the same step, exactly, may come again: after
 * a failure, after a crash, by another process at the same time, and by one that was stopped and goes on when later steps are done.
 * A write must do nothing then: documents are inserted by id with the position that made them, or changed by version with what they
 * were before the step; counters are guarded by position. When `project` settles, none of its writes is under way any more.
 * It lives in a file of its own (`project.ts`) that imports little: the all-in-one runs it in the store's writer thread.
 */
export interface Projection {
  /** Name of the watermark: "scans". */
  name: string;
  subjects: readonly Subject[];
  project: (entries: readonly LogEntry[], deps: ProjectDeps) => Promise<void>;
}

/** Work of a service that goes on beside its requests. Stopped in reverse order of starting. */
export interface Background {
  stop: () => Promise<void>;
  /** What /readyz and /metrics show: entries or milliseconds behind, queue depth. */
  gauges?: () => Readonly<Record<string, number>>;
}

/** A service on one screen. */
export interface ServiceDefinition {
  name: string;
  /** All models it stores, so that the engine makes tables and indexes at start. */
  collections: readonly Model<Doc>[];
  /** Services that it calls; the chart's NetworkPolicy says the same. */
  calls: readonly string[];
  /** It keeps files in the data folder: a process of its own holds the folder alone. */
  keepsFiles?: boolean;
  publishes: readonly Subject[];
  consumes: readonly Subject[];
  /** Handlers of its RPCs. */
  routes: (router: ConnectRouter, deps: ServiceDeps) => void;
  projections?: readonly Projection[];
  /** Started after the RPCs answer, in this order. */
  start?: (deps: ServiceDeps) => Promise<Background>;
}

/** Declares a service. */
export function defineService(definition: ServiceDefinition): ServiceDefinition {
  return definition;
}
