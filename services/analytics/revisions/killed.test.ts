import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { RevisionService, RevisionState } from "#gen/waymark/analytics/v1/revisions_pb.ts";
import { TouchesRevisedSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { openSqliteStore } from "#runtime/store.sqlite.ts";
import { analyticsModels } from "../model.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround } from "../test-ground.ts";
import { touchOf } from "../test-history.ts";
import { tasksOf } from "./tasks.ts";
import { RANGE, reach } from "./test-rerun.ts";

const EVENTS = 24_000;
const LINKS = 40;

let folder: string;
let id: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-killed-"));
  const ground = await openAnalyticsGround({ folder });
  for (let link = 0; link < LINKS; link += 1) {
    const some = Array.from({ length: EVENTS / LINKS }, (_, n) =>
      touchOf({
        ...{ id: `scan_${link}_${n}`, codeId: `link_${link}`, deviceId: `d${n % 50}`, at: NOW - n * 1_000 },
        userAgent: n % 5 === 0 ? "Safari/1" : `Headless/${n % 7}`,
      }),
    );
    await ground.append(some);
  }
  await ground.settle();
  const rules = { bots: { builtIn: true, userAgentContains: ["headless"] } };
  const { revision } = await ground.client(RevisionService).createRevision({ ...RANGE, rules }, ground.by());
  id = revision?.id ?? "";
  await ground.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Its owner is dead for longer than a lease. */
async function waitOutLease(): Promise<void> {
  const store = openSqliteStore({ path: join(folder, "store.db"), models: analyticsModels });
  for (const task of await tasksOf(store).find({})) await tasksOf(store).update(task.id, { set: { leaseUntil: 0 } });
  await store.close();
}

/** Works in another process, and kills that when what it prints is so. True: it was killed so; else it is done. */
async function reviseUntilKilled(isSo: (state: string, progress: number) => boolean): Promise<void> {
  await waitOutLease();
  const script = new URL("./revise-until-killed.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, folder, "acme", id], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    for (const line of text.trim().split("\n")) {
      const [state = "", progress = ""] = line.split(" ");
      if (isSo(state, Number(progress))) child.kill("SIGKILL");
    }
  });
  await exit;
}

/** Does what is left, and answers with how it ends. */
async function finish<R>(state: RevisionState, look: (ground: AnalyticsGround) => Promise<R>): Promise<R> {
  await waitOutLease();
  const ground = await openAnalyticsGround({ folder });
  try {
    await reach(ground, { id, state, by: ground.by() });
    await ground.settle();
    return await look(ground);
  } finally {
    await ground.close();
  }
}

it("a revision whose processes are killed while it is computed and applied changes each touch as it showed", async () => {
  for (const part of [0.1, 0.65, 0.8]) await reviseUntilKilled((state, now) => state === "running" && now >= part);
  const shown = await finish(RevisionState.READY, async ({ client, by }) => {
    const { revision } = await client(RevisionService).getRevision({ id }, by());
    await client(RevisionService).applyRevision({ id }, by());
    return revision?.difference;
  });
  const bots = (EVENTS * 4) / 5;
  expect(shown).toMatchObject({ changed: BigInt(bots), totals: { eventsAfter: BigInt(EVENTS - bots) } });
  for (const parts of [1, 7, 12]) await reviseUntilKilled((state, now) => state === "applying" && now >= parts);
  await finish(RevisionState.APPLIED, async ({ api, by, client, log }) => {
    const { revision } = await client(RevisionService).getRevision({ id }, by());
    expect(revision?.applied).toBe(BigInt(bots));
    expect((await api.getEventMetrics({}, by())).totalEvents).toBe(EVENTS - bots);
    const told = new Map<string, Verdict>();
    for await (const entries of log.read({ after: 0, subjects: ["touches.revised"] }))
      for (const { payload } of entries)
        for (const { touchId, verdict } of fromBinary(TouchesRevisedSchema, payload).revisions)
          told.set(touchId, verdict);
    expect([told.size, new Set(told.values())]).toEqual([bots, new Set([Verdict.BOT])]);
  });
  // The table that is made anew from the log has the same.
  for (const end of ["", ".wal"]) rmSync(join(folder, `analytics.duckdb${end}`), { force: true });
  await finish(RevisionState.APPLIED, async ({ api, by }) => {
    expect((await api.getEventMetrics({}, by())).totalEvents).toBe(EVENTS - bots);
  });
}, 90_000);
