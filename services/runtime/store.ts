import type { Doc, Model } from "./model.ts";

/** Equality, or a range, per field; all must hold. `has`: a `strings` field holds the value. */
export type Condition<V> =
  | V
  | { in?: readonly V[]; ne?: V; gt?: V; gte?: V; lt?: V; lte?: V; exists?: boolean; has?: string };

/** A filter over declared fields of kind string, number, boolean or strings. */
export type Where<T extends Doc> = { readonly [K in keyof T]?: Condition<NonNullable<T[K]>> };

/** What to find. Without `sort`, by id ascending. The id is always the last sort key, in the direction of the one before it. */
export interface Query<T extends Doc> {
  where?: Where<T>;
  sort?: readonly (readonly [keyof T & string, 1 | -1])[];
  limit?: number;
  skip?: number;
}

/** A change of one document. Keys of `inc`, `min`, `max` and `set` may be dotted paths into `object` fields: "countries.US". */
export interface Change<T extends Doc> {
  set?: Partial<Omit<T, "id" | "version">> & Record<string, unknown>;
  unset?: readonly string[];
  inc?: Readonly<Record<string, number>>;
  min?: Readonly<Record<string, number>>;
  max?: Readonly<Record<string, number>>;
}

/** When a change applies. If the guard does not hold, nothing happens and the outcome says so. */
export interface Guard<T extends Doc> {
  /** Compare-and-set: the document still has this version. */
  version?: number;
  /** The document as stored meets this. */
  where?: Where<T>;
}

/** One write of a bulk. `upsert`: a missing document is made from `id`, these fields and then the change. */
export type Write<T extends Doc> =
  | { kind: "insert"; doc: T }
  | { kind: "update"; id: string; change: Change<T>; guard?: Guard<T>; upsert?: Partial<T> }
  | { kind: "delete"; id: string };

/** What became of one write. `exists`: an insert met a document of that id; `conflict`: it met a unique index. */
export type Outcome<T extends Doc> =
  | { kind: "applied" }
  | { kind: "exists"; doc: T }
  | { kind: "conflict"; index: string }
  | { kind: "unmet" };

/**
 * Documents of one model in one workspace. Every method is safe to repeat: an insert of an id that is there changes nothing.
 * No transactions and no change streams: what this port promises, a sharded MongoDB can promise.
 */
export interface Collection<T extends Doc> {
  /** Inserts by id; never overwrites. */
  insert(doc: T): Promise<Outcome<T>>;
  get(id: string): Promise<T | undefined>;
  /** Those that exist, by id. */
  getMany(ids: readonly string[]): Promise<Map<string, T>>;
  find(query: Query<T>): Promise<T[]>;
  count(where?: Where<T>): Promise<number>;
  /** The document after the change, or undefined when it is missing or the guard does not hold. */
  update(id: string, change: Change<T>, guard?: Guard<T>): Promise<T | undefined>;
  /** Writes in this order; outcomes in the same order. One document's failure does not stop the others. */
  bulk(writes: readonly Write<T>[]): Promise<Outcome<T>[]>;
  /** True when there was one. */
  delete(id: string): Promise<boolean>;
  /** All that match, in chunks, in the order of the query; sees a document once even while others are written. */
  stream(query: Query<T>): AsyncIterable<T[]>;
}

/** How far a projection is. */
export interface Progress {
  /** All up to this position of the log is done. */
  done: number;
  /** A step was begun that ends here; equal to `done` when none was. */
  begun: number;
}

/** A model's documents, reachable only through a workspace. */
export interface Bound<T extends Doc> {
  of(workspace: string): Collection<T>;
}

/** Where documents live. Engines: `store.sqlite.ts`, `store.mongo.ts`. */
export interface Store {
  collection<T extends Doc>(model: Model<T>): Bound<T>;
  /**
   * Runs the writes of one step of a projection. An engine that can makes them one transaction with the watermark;
   * others run them as they are, so each write must be replay-safe by itself.
   */
  batch<R>(run: () => Promise<R>): Promise<R>;
  /** True when `batch` is one transaction: what fails leaves nothing. Otherwise a step is noted by `begin` and repeated until it is done. */
  readonly atomicBatch: boolean;
  /** The log position up to which the projection of this name is done; 0 before the first. */
  watermark(projection: string): Promise<number>;
  /** The watermark, and how far a step that was begun from there reaches. */
  progress(projection: string): Promise<Progress>;
  /**
   * Notes, before a step writes anything, that it goes from `from` to `to`, so that whoever comes after a crash repeats exactly
   * this step. True when that is noted now, also when it was before; false when the watermark is not at `from` or another
   * step was begun there. Only engines without an atomic batch need it.
   */
  begin(projection: string, from: number, to: number): Promise<boolean>;
  /** Moves the watermark from `from` to `to`; false when it was not at `from` (another holder moved it). No step is begun then. */
  advance(projection: string, from: number, to: number): Promise<boolean>;
  /** Resolves when the store answers; rejects otherwise. */
  ping(): Promise<void>;
  close(): Promise<void>;
}
