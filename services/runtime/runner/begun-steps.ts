import type { LogEntry } from "../log.ts";
import { dry } from "./dry.ts";
import { isTrouble, WatermarkMoved } from "./fault.ts";
import { STEP_ENTRIES } from "./step.ts";
import { backOff, RETRIES, type Steps, setAside, type Work } from "./work.ts";

/** A step that is noted as begun: the entries from the watermark to a position, without those that were set aside. */
interface Begun {
  entries: readonly LogEntry[];
  to: number;
}

/**
 * Steps on a store without transactions. A step is noted before it writes anything, and whoever comes after a crash repeats exactly
 * this step, until it is done: projections do nothing when they are given the same step again. So a step is never split. One that
 * fails is tried entry by entry on a store that drops what is written, and repeated without those that fail there.
 */
export function begunSteps(work: Work): Steps {
  const { store, projection, now, pace, poisons } = work;
  const { name } = projection;
  let watermark = 0;

  async function finish(begun: Begun, stop: AbortSignal): Promise<void> {
    let { entries } = begun;
    for (let attempt = 0; !stop.aborted; attempt += 1) {
      try {
        if (entries.length > 0) await projection.project(entries, { store, now });
        if (!(await store.advance(name, watermark, begun.to))) throw new WatermarkMoved();
        watermark = begun.to;
        return work.moved(watermark);
      } catch (error) {
        if (isTrouble(error)) throw error;
        if (attempt >= RETRIES) {
          const sound = await setUnsoundAside(entries);
          if (sound.length < entries.length) attempt = -1;
          else work.waitFor(error);
          entries = sound;
        }
        if (attempt >= 0) await backOff(work, { attempt, stop });
      }
    }
  }

  /** The entries that can be taken; the others are set aside. */
  async function setUnsoundAside(entries: readonly LogEntry[]): Promise<readonly LogEntry[]> {
    const trial = dry(store);
    const sound: LogEntry[] = [];
    for (const entry of entries) {
      try {
        await projection.project([entry], { store: trial, now });
        sound.push(entry);
      } catch (error) {
        if (isTrouble(error)) throw error;
        await setAside(work, entry, { error });
      }
    }
    return sound;
  }

  /** Exactly what the step had that ended there. */
  async function again(to: number): Promise<Begun> {
    const { log } = work;
    const head = await log.head();
    if (head < to) throw new WatermarkMoved(); // this reader is behind who wrote the watermark
    const aside = await poisons.find({ where: { projection: name, position: { gt: watermark, lte: to } } });
    const without = new Set(aside.map(({ position }) => position));
    const entries: LogEntry[] = [];
    for await (const chunk of log.read({ after: watermark, subjects: projection.subjects, chunk: STEP_ENTRIES })) {
      entries.push(...chunk.filter(({ position }) => position <= to && !without.has(position)));
      if ((chunk.at(-1) as LogEntry).position >= to) break;
    }
    return { entries, to };
  }

  return {
    resume: async (stop) => {
      const { done, begun } = await store.progress(name);
      watermark = done;
      work.moved(done);
      if (begun > done) await finish(await again(begun), stop);
      return watermark;
    },
    take: async (entries, stop) => {
      const began = performance.now();
      const to = (entries.at(-1) as LogEntry).position;
      if (!(await store.begin(name, watermark, to))) throw new WatermarkMoved();
      await finish({ entries, to }, stop);
      pace.took(entries, performance.now() - began);
    },
  };
}
