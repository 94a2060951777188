import { randomUUID } from "node:crypto";
import type { Collection, Store } from "../store.ts";
import { LeaseLost } from "./fault.ts";
import { type LeaseDoc, leases } from "./lease-model.ts";
import { pause } from "./pause.ts";
import type { Waiting } from "./waiting.ts";

/** How often a holder beats and a candidate looks. */
const BEAT_MS = 1_000;
/** A holder that could not beat for so long stops working. */
const HOLD_MS = 4_000;
/** A candidate takes over when it has seen no beat for so long, by its own clock: no two clocks are compared. */
const PATIENCE_MS = 5_000;

/** The times of a lease, in milliseconds. */
export interface LeaseTimes {
  beatMs: number;
  holdMs: number;
  patienceMs: number;
}

/** What a lease is about. */
export interface LeaseOptions {
  projection: string;
  /** Names this process. */
  holder: string;
  store: Store;
  /** Told what keeps it from asking, and that it can ask again. */
  trouble: Waiting;
  times?: LeaseTimes | undefined;
}

/** What was seen of another's lease, and since when. */
interface Sight {
  version: number;
  since: number;
}

/** This process's part in the lease of one projection: it holds it, or waits for it, until `stop`. */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #times: LeaseTimes;
  readonly #docs: Collection<LeaseDoc>;
  /** No other process, and no other life of this one, has this name. */
  readonly #self: string;
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>;
  #term: AbortController | undefined;
  #begun = Promise.withResolvers<void>();
  #version = 0;
  #beatAt = 0;
  #expiry: NodeJS.Timeout | undefined;
  #sight: Sight | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#times = options.times ?? { beatMs: BEAT_MS, holdMs: HOLD_MS, patienceMs: PATIENCE_MS };
    this.#docs = leases(options.store);
    this.#self = `${options.holder}/${randomUUID()}`;
    this.#running = this.#run();
  }

  get isHeld(): boolean {
    return this.#term !== undefined && performance.now() - this.#beatAt < this.#times.holdMs;
  }

  /** Throws LeaseLost when another may have taken over. */
  readonly check = (): void => {
    if (!this.isHeld) throw new LeaseLost();
  };

  /** Resolves once it is held, with a signal that aborts when it is not any more; undefined after the signal given aborts. */
  async term(signal: AbortSignal): Promise<AbortSignal | undefined> {
    const aborted = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => aborted.resolve(), { once: true });
    while (!signal.aborted) {
      if (this.#term !== undefined) return this.#term.signal;
      await Promise.race([this.#begun.promise, aborted.promise]);
    }
    return undefined;
  }

  /** Hands it back, if it is held: the next candidate that looks has it. Call it when the work has ended. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    const held = this.#term !== undefined;
    this.#endTerm();
    if (held) await this.#set("").catch(() => {}); // others wait for it in vain then, for some seconds
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    const { trouble } = this.#options;
    while (!signal.aborted) {
      try {
        if (this.#version === 0) await this.#look();
        else await this.#beat();
        trouble.over();
      } catch (error) {
        this.#sight = undefined; // nobody was seen to be silent while nobody could be seen
        trouble.for(error);
      }
      await pause(this.#times.beatMs, signal);
    }
  }

  /** Takes the lease when it is free, when its holder is silent, and when it is ours by a write whose answer was lost. */
  async #look(): Promise<void> {
    const { projection: id } = this.#options;
    const doc = await this.#docs.get(id);
    if (doc === undefined) {
      await this.#docs.insert({ id, holder: "", beat: 0 });
      return await this.#look();
    }
    const version = doc.version as number;
    if (doc.holder !== "" && doc.holder !== this.#self && !this.#isSilent(version)) return;
    this.#version = version;
    const at = performance.now();
    try {
      if (await this.#set(this.#self)) this.#hold(at);
    } catch (error) {
      this.#version = 0;
      throw error;
    }
  }

  #isSilent(version: number): boolean {
    const now = performance.now();
    if (this.#sight?.version !== version) this.#sight = { version, since: now };
    return now - this.#sight.since >= this.#times.patienceMs;
  }

  async #beat(): Promise<void> {
    const at = performance.now();
    if (await this.#set(this.#self)) this.#hold(at);
    else {
      this.#endTerm();
      await this.#look();
    }
  }

  async #set(holder: string): Promise<boolean> {
    const change = { set: { holder }, inc: { beat: 1 } };
    const doc = await this.#docs.update(this.#options.projection, change, { version: this.#version });
    this.#version = doc?.version ?? 0;
    return doc !== undefined;
  }

  /** Holds it from when the write was sent: that it was seen is later. */
  #hold(at: number): void {
    this.#beatAt = at;
    this.#sight = undefined;
    clearTimeout(this.#expiry);
    const leftMs = at + this.#times.holdMs - performance.now();
    this.#expiry = setTimeout(() => this.#endTerm(), Math.max(0, leftMs));
    if (this.#term !== undefined) return;
    this.#term = new AbortController();
    this.#begun.resolve();
  }

  /** Ends the work. A version that is still known stays: if nobody has taken over, the next beat begins the work again. */
  #endTerm(): void {
    clearTimeout(this.#expiry);
    if (this.#term === undefined) return;
    this.#term.abort();
    this.#term = undefined;
    this.#begun = Promise.withResolvers<void>();
  }
}
