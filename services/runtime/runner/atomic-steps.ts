import type { LogEntry } from "../log.ts";
import { isTrouble, WatermarkMoved } from "./fault.ts";
import { backOff, RETRIES, type Steps, setAside, type Work } from "./work.ts";

/**
 * Steps on a store where a step and its watermark are one transaction. A step that fails leaves nothing: it is repeated, then its
 * entries are tried one by one, and the one to blame is set aside.
 */
export function atomicSteps(work: Work): Steps {
  const { store, projection, now, inTurn, pace } = work;
  let watermark = 0;

  const advance = async (to: number) => {
    if (!(await store.advance(projection.name, watermark, to))) throw new WatermarkMoved();
  };
  const done = (to: number) => {
    watermark = to;
    work.moved(to);
  };

  async function apply(entries: readonly LogEntry[]): Promise<void> {
    const { position } = entries.at(-1) as LogEntry;
    await inTurn(() =>
      store.batch(async () => {
        const began = performance.now();
        await projection.project(entries, { store, now });
        await advance(position);
        pace.took(entries, performance.now() - began);
      }),
    );
    done(position);
  }

  async function skip(entry: LogEntry, error: unknown): Promise<void> {
    const noted = (note: () => Promise<void>) =>
      inTurn(() =>
        store.batch(async () => {
          await note();
          await advance(entry.position);
        }),
      );
    await setAside(work, entry, { error, noted });
    done(entry.position);
  }

  async function take(entries: readonly LogEntry[], stop: AbortSignal): Promise<void> {
    for (let attempt = 0; !stop.aborted; attempt += 1) {
      try {
        return await apply(entries);
      } catch (error) {
        if (isTrouble(error)) throw error;
        if (attempt < RETRIES) await backOff(work, { attempt, stop });
        else if (entries.length === 1) return await skip(entries[0] as LogEntry, error);
        else break;
      }
    }
    for (const entry of entries) if (!stop.aborted) await take([entry], stop);
  }

  return {
    take,
    resume: async () => {
      watermark = await store.watermark(projection.name);
      work.moved(watermark);
      return watermark;
    },
  };
}
