import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import type { Log, LogEntry, ReadOptions, Subject } from "./log.ts";
import { followNews, type News } from "./news.ts";

let news: News | undefined;
afterEach(async () => {
  await news?.stop();
  news = undefined;
});

/** A log whose reading can be broken or held up. */
function openPaper() {
  const entries: LogEntry[] = [];
  const paper = { isBroken: false, hangs: false, reads: 0 };
  let print = Promise.withResolvers<void>();
  const stir = (): void => {
    print.resolve();
    print = Promise.withResolvers<void>();
  };
  const check = async (): Promise<void> => {
    while (paper.hangs) await print.promise;
    if (paper.isBroken) throw new Error("broken");
  };
  async function* read({ after, subjects, follow }: ReadOptions): AsyncGenerator<LogEntry[]> {
    paper.reads += 1;
    for (let from = after; follow?.aborted !== true; ) {
      await check();
      const { promise } = print;
      const found = entries.filter(({ position, subject }) => position > from && subjects?.includes(subject));
      from = found.at(-1)?.position ?? from;
      if (found.length > 0) yield found;
      else if (follow === undefined) return;
      else
        await Promise.race([
          promise,
          new Promise((resolve) => follow.addEventListener("abort", resolve, { once: true })),
        ]);
    }
  }
  const log: Pick<Log, "read" | "head"> = {
    read,
    head: async () => {
      await check();
      return entries.at(-1)?.position ?? 0;
    },
  };
  const add = (objectId: string, subject: Subject = "codes.changed", payload?: Uint8Array): void => {
    const position = (entries.at(-1)?.position ?? 0) + 1;
    const change = toBinary(ObjectChangedSchema, create(ObjectChangedSchema, { objectId }));
    entries.push({ position, partition: 0, subject, payload: payload ?? change, appendedAt: 0 });
    stir();
  };
  const set = (state: Partial<typeof paper>): void => {
    Object.assign(paper, state);
    stir();
  };
  return { log, add, set, clear: () => entries.splice(0), paper };
}

function follow(log: Pick<Log, "read" | "head">, isUp?: () => boolean) {
  const told: string[] = [];
  news = followNews({
    log,
    subjects: ["codes.changed"],
    onChange: (_subject, { objectId }) => void told.push(objectId),
    onGap: () => void told.push("gap"),
    ...(isUp !== undefined && { isUp }),
  });
  return { told, fresh: news.fresh };
}

const LONG = { timeout: 5_000 };

describe("news of the log", () => {
  it("begin now, with everything in doubt, and tell each change of their subjects", async () => {
    const { log, add } = openPaper();
    add("before");
    const { told, fresh } = follow(log);
    expect(fresh()).toBe(false);
    await expect.poll(fresh).toBe(true);
    add("one");
    add("other", "keys.changed");
    add("two");
    await expect.poll(() => told).toEqual(["gap", "one", "two"]);
  });

  it("are old while the log cannot be read, and go on from where they were", async () => {
    const { log, add, set } = openPaper();
    const { told, fresh } = follow(log);
    await expect.poll(fresh).toBe(true);
    set({ isBroken: true });
    await expect.poll(fresh).toBe(false);
    add("meanwhile");
    set({ isBroken: false });
    await expect.poll(fresh, LONG).toBe(true);
    expect(told).toEqual(["gap", "meanwhile"]);
  });

  it("are not fresh again before all is told that came meanwhile", async () => {
    const { log, add, set } = openPaper();
    const { told, fresh } = follow(log);
    await expect.poll(fresh).toBe(true);
    set({ isBroken: true });
    await expect.poll(fresh).toBe(false);
    for (let i = 0; i < 500; i += 1) add(`change-${i}`);
    set({ isBroken: false });
    await expect.poll(() => fresh() && told.length, LONG).toBe(501);
  });

  it("are old when the log hangs, within a second or so, and fresh when it goes on", async () => {
    const { log, set } = openPaper();
    const { fresh } = follow(log);
    await expect.poll(fresh).toBe(true);
    set({ hangs: true });
    await expect.poll(fresh, { timeout: 2_000 }).toBe(false);
    set({ hangs: false });
    await expect.poll(fresh, LONG).toBe(true);
  });

  it("end in time while the log hangs", async () => {
    const { log, set } = openPaper();
    const { fresh } = follow(log);
    await expect.poll(fresh).toBe(true);
    set({ hangs: true });
    await news?.stop();
    expect(fresh()).toBe(false);
  });

  it("are old while the connection is down", async () => {
    const { log } = openPaper();
    let isUp = true;
    const { fresh } = follow(log, () => isUp);
    await expect.poll(fresh).toBe(true);
    isUp = false;
    expect(fresh()).toBe(false);
  });

  it("tell of a gap when the log begins anew", async () => {
    const { log, add, set, clear } = openPaper();
    add("old");
    add("older");
    const { told, fresh } = follow(log);
    await expect.poll(fresh).toBe(true);
    set({ isBroken: true });
    await expect.poll(fresh).toBe(false);
    clear();
    add("new log");
    set({ isBroken: false });
    await expect.poll(fresh, LONG).toBe(true);
    expect(told).toEqual(["gap", "gap"]);
  });

  it("tell of a gap in place of what cannot be read, and go on", async () => {
    const { log, add } = openPaper();
    const { told, fresh } = follow(log);
    await expect.poll(fresh).toBe(true);
    add("", "codes.changed", Buffer.from([0xff]));
    add("next");
    await expect.poll(() => told).toEqual(["gap", "gap", "next"]);
  });
});
