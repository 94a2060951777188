import { afterEach, beforeEach, describe } from "vitest";
import type { Log } from "#runtime/log.ts";
import { appending, repeating, shedding } from "./log.append.ts";
import { following, reading } from "./log.read.ts";

/** One log of an engine under test. */
export interface LogUnderTest {
  /** Opens it; after a close it is the same log again. */
  open: (limits?: { maxQueueBytes?: number }) => Promise<Log>;
  /** Throws it away. */
  discard: () => Promise<void>;
}

/** What every engine of the log promises. `fresh` makes an empty log for one test. */
export function logContract(name: string, fresh: () => Promise<LogUnderTest>): void {
  describe(`${name} as a log`, () => {
    let under: LogUnderTest;
    let log: Log;
    const access = { log: () => log, reopen };
    async function reopen(limits?: { maxQueueBytes?: number }): Promise<Log> {
      await log.close();
      log = await under.open(limits);
      return log;
    }
    beforeEach(async () => {
      under = await fresh();
      log = await under.open();
    });
    afterEach(async () => {
      await log.close();
      await under.discard();
    });
    appending(access);
    repeating(access);
    reading(access);
    following(access);
    shedding(access);
  });
}
