import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { DeviceIdentitySetting } from "#gen/waymark/access/v1/authority_pb.ts";
import { DeviceChange, RevisionService, RevisionStatus } from "#gen/waymark/analytics/v1/revisions_pb.ts";
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
const DAY_MS = 86_400_000;

let folder: string;
let id: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "waymark-killed-"));
  const ground = await openAnalyticsGround({ folder });
  for (let link = 0; link < LINKS; link += 1) {
    const some = Array.from({ length: EVENTS / LINKS }, (_, n) =>
      touchOf({
        ...{ id: `scan_${link}_${n}`, codeId: `link_${link}`, deviceId: `d${n % 50}` },
        at: NOW - (n % 3) * DAY_MS - n * 1_000,
        userAgent: n % 5 === 0 ? "Safari/1" : `Headless/${n % 7}`,
      }),
    );
    await ground.append(some);
  }
  await ground.settle();
  const identity = { devices: DeviceIdentitySetting.DAILY };
  const rules = { bots: { builtIn: true, userAgentContains: ["headless"] }, identity };
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
async function finish<R>(state: RevisionStatus, look: (ground: AnalyticsGround) => Promise<R>): Promise<R> {
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

async function numbersOf(api: AnalyticsGround["api"], by: CallOptions): Promise<number[]> {
  const [{ totalEvents }, { json }] = await Promise.all([
    api.getEventMetrics({}, by),
    api.listVisitors({ pageSize: 1_000 }, by),
  ]);
  return [totalEvents, json?.visitors.length ?? 0];
}

it("a revision whose processes are killed while it is computed and applied changes each touch as it showed", async () => {
  for (const part of [0.1, 0.65, 0.8]) await reviseUntilKilled((state, now) => state === "running" && now >= part);
  const shown = await finish(RevisionStatus.READY, async ({ client, by }) => {
    const { revision } = await client(RevisionService).getRevision({ id }, by());
    await client(RevisionService).applyRevision({ id }, by());
    return revision?.difference;
  });
  const bots = (EVENTS * 4) / 5;
  // Of each link ten of fifty devices are people's, on three days.
  expect(shown).toMatchObject({
    ...{ changed: BigInt(EVENTS), moves: [{ touches: BigInt(bots) }] },
    totals: { eventsAfter: BigInt(EVENTS - bots), visitorsBefore: 50n, visitorsAfter: 30n },
    deviceMoves: [{ change: DeviceChange.DAILY, touches: BigInt(EVENTS - bots) }],
  });
  for (const parts of [1, 7, 12]) await reviseUntilKilled((state, now) => state === "applying" && now >= parts);
  await finish(RevisionStatus.APPLIED, async ({ api, by, client, log }) => {
    const { revision } = await client(RevisionService).getRevision({ id }, by());
    expect(revision?.applied).toBe(BigInt(EVENTS));
    expect(await numbersOf(api, by())).toEqual([EVENTS - bots, 30]);
    const told = new Map<string, string>();
    for await (const entries of log.read({ after: 0, subjects: ["touches.revised"] }))
      for (const { payload } of entries)
        for (const { touchId, verdict, deviceId } of fromBinary(TouchesRevisedSchema, payload).revisions)
          told.set(touchId, `${verdict === Verdict.BOT} ${deviceId?.replace(/^.*\+/, "+")}`);
    const days = [0, 1, 2].map((n) => `false +${Math.floor(NOW / DAY_MS) - n}`);
    expect([told.size, [...new Set(told.values())].toSorted()]).toEqual([
      EVENTS,
      [...days.toReversed(), "true undefined"],
    ]);
  });
  // The table that is made anew from the log has the same.
  for (const end of ["", ".wal"]) rmSync(join(folder, `analytics.duckdb${end}`), { force: true });
  await finish(RevisionStatus.APPLIED, async ({ api, by }) => {
    expect(await numbersOf(api, by())).toEqual([EVENTS - bots, 30]);
  });
}, 90_000);
