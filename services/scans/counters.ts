import type { Doc, Model } from "#runtime/model.ts";
import type { Store, Write } from "#runtime/store.ts";

/** A document of numbers that knows up to which position of the log it has counted. */
export interface Counter extends Doc {
  position: number;
}

/** What entries of the log add to one counter. */
interface Sum<T extends Counter> {
  /** Fields of the counter when it is made. */
  made: Partial<T>;
  /** By position: what to add, by path. */
  steps: Map<number, Record<string, number>>;
  /** The least value that was met, by path. */
  least: Record<string, number>;
  /** The value after the step, by path, whatever was met; undefined: there is none. */
  exact: Record<string, number | undefined>;
}

/** Rounds after which the step is given up, to be run again. */
const MAX_ROUNDS = 5;

/**
 * Gathers what a step of a projection adds to counters, and writes each counter once. A counter takes each position of
 * the log once, however often the step is repeated, and whether or not the store makes the step one transaction.
 */
export class Counters<T extends Counter> {
  readonly #model: Model<T>;
  readonly #sums = new Map<string, Sum<T>>();

  constructor(model: Model<T>) {
    this.#model = model;
  }

  /** Adds to a path of a counter. */
  add(counter: { id: string; made: Partial<T> }, at: { position: number; path: string; by: number }): void {
    const steps = this.#sumOf(counter).steps;
    let step = steps.get(at.position);
    if (step === undefined) {
      step = {};
      steps.set(at.position, step);
    }
    step[at.path] = (step[at.path] ?? 0) + at.by;
  }

  /** Lowers a path of a counter to `value`, if that is less. Goes with an `add` of the same position. */
  least(counter: { id: string; made: Partial<T> }, path: string, value: number): void {
    const { least } = this.#sumOf(counter);
    least[path] = Math.min(least[path] ?? value, value);
  }

  /** Sets a path of a counter to what it is after the step. Goes with an `add`; what `least` says of the path does not count. */
  exactly(counter: { id: string; made: Partial<T> }, path: string, value: number | undefined): void {
    this.#sumOf(counter).exact[path] = value;
  }

  /** Writes what was gathered. */
  async write(store: Store, workspace: string): Promise<void> {
    const collection = store.collection(this.#model).of(workspace);
    for (let left = [...this.#sums.keys()], round = 0; left.length > 0; round += 1) {
      if (round === MAX_ROUNDS)
        throw new Error(`${this.#model.name} keeps changing under the projection; it runs again`);
      const outcomes = await collection.bulk(left.map((id) => this.#writeOf(id)));
      left = left.filter((_, index) => outcomes[index]?.kind !== "applied");
      if (left.length === 0) return;
      const stored = await collection.getMany(left);
      left = left.filter((id) => this.#forget(id, stored.get(id)?.position ?? 0));
    }
  }

  #sumOf({ id, made }: { id: string; made: Partial<T> }): Sum<T> {
    let sum = this.#sums.get(id);
    if (sum === undefined) {
      sum = { made, steps: new Map(), least: {}, exact: {} };
      this.#sums.set(id, sum);
    }
    return sum;
  }

  /** Adds all steps, if the counter has none of them yet. */
  #writeOf(id: string): Write<T> {
    const { made, steps, least, exact } = this.#sums.get(id) as Sum<T>;
    const positions = [...steps.keys()];
    const inc: Record<string, number> = {};
    for (const step of steps.values()) for (const path in step) inc[path] = (inc[path] ?? 0) + (step[path] as number);
    for (const path in inc) if (inc[path] === 0) delete inc[path];
    const set: Record<string, number> = { position: Math.max(...positions) };
    const min = { ...least };
    const unset: string[] = [];
    for (const [path, value] of Object.entries(exact)) {
      delete min[path];
      if (value === undefined) unset.push(path);
      else set[path] = value;
    }
    const guard = { where: { position: { lt: Math.min(...positions) } } };
    return { kind: "update", id, change: { set, unset, inc, min }, guard, upsert: made } as unknown as Write<T>;
  }

  /** Drops the steps that the counter has. True when some are left. */
  #forget(id: string, position: number): boolean {
    const { steps } = this.#sums.get(id) as Sum<T>;
    for (const step of steps.keys()) if (step <= position) steps.delete(step);
    return steps.size > 0;
  }
}
