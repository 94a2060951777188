import { randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SyncService } from "#gen/waymark/analytics/v1/sync_pb.ts";
import { ObjectChangedSchema } from "#gen/waymark/events/v1/touches_pb.ts";
import { type AnalyticsGround, NOW, openAnalyticsGround, until } from "./test-ground.ts";
import { touchOf } from "./test-history.ts";

const DAY_MS = 86_400_000;

let ground: AnalyticsGround;
beforeAll(async () => {
  ground = await openAnalyticsGround();
});
afterAll(() => ground.close());

/** Three events of a workspace: now, ten days ago, and forty. */
async function threeEvents(workspaceId: string, given: { test?: boolean } = {}): Promise<void> {
  const ages = [0, 10, 40];
  await ground.append(
    ages.map((days) => touchOf({ workspaceId, id: `e${days}`, deviceId: "d", at: NOW - days * DAY_MS, ...given })),
  );
  await ground.settle();
}

const idsOf = async (who: Parameters<AnalyticsGround["by"]>[0], startDate?: number) => {
  const asked = { startDate: startDate === undefined ? undefined : timestampFromMs(startDate) };
  return (await ground.api.listEvents(asked, ground.by(who))).json?.events.map(({ id }) => id);
};

async function setDays(workspace: string, days: number): Promise<void> {
  ground.scansDays.set(workspace, days);
  const change = { workspaceId: workspace, objectId: workspace, change: "updated" };
  const payload = toBinary(ObjectChangedSchema, create(ObjectChangedSchema, change));
  await ground.log.append([{ subject: "workspaces.changed", key: workspace, payload }], randomUUID());
}

describe("a workspace that keeps events for some days", () => {
  it("shows none that is older, moves a start before that, and says so", async () => {
    ground.scansDays.set("keeps30", 30);
    await threeEvents("keeps30");
    const who = { workspace: "keeps30" };
    expect(await idsOf(who)).toEqual(["e0", "e10"]);
    expect(await idsOf(who, NOW - 300 * DAY_MS)).toEqual(["e0", "e10"]);
    const asked = { startDate: timestampFromMs(NOW - 300 * DAY_MS), explain: true };
    const { totalEvents, explanation } = await ground.api.getEventMetrics(asked, ground.by(who));
    expect([totalEvents, explanation?.shownFromReason]).toEqual([2, "RETENTION"]);
    expect(explanation?.shownFrom && timestampMs(explanation.shownFrom)).toBe(NOW - 30 * DAY_MS);
    const { retainedFrom } = await ground.client(SyncService).sync({}, ground.by(who));
    expect(retainedFrom && timestampMs(retainedFrom)).toBe(NOW - 30 * DAY_MS);
  });

  it("shows an event to the last millisecond of its time", async () => {
    ground.scansDays.set("border", 30);
    const at = (ms: number) => touchOf({ workspaceId: "border", id: `at${ms}`, at: NOW - 30 * DAY_MS + ms });
    await ground.append([at(-1), at(0), at(1)]);
    await ground.settle();
    expect(await idsOf({ workspace: "border" })).toEqual(["at1", "at0"]);
  });

  it("is answered by what it keeps as soon as the news of a change has come", async () => {
    await threeEvents("changing");
    const who = { workspace: "changing" };
    expect(await idsOf(who)).toEqual(["e0", "e10", "e40"]);
    for (const [days, left] of [
      [5, 1],
      [20, 2],
      [0, 3],
    ] as const) {
      const begun = performance.now();
      await setDays("changing", days);
      await until(async () => (await idsOf(who))?.length === left);
      expect(performance.now() - begun).toBeLessThan(3_000);
    }
  });
});

describe("a development key", () => {
  it("is shown test data of thirty days, and of fewer where the workspace keeps fewer", async () => {
    await threeEvents("testing", { test: true });
    const who = { workspace: "testing", test: true, keyClass: "development" } as const;
    const reason = async () => {
      const { explanation } = await ground.api.getEventMetrics({ explain: true }, ground.by(who));
      return explanation?.shownFromReason;
    };
    expect([await idsOf(who), await reason()]).toEqual([["e0", "e10"], "KEY_CLASS"]);
    await setDays("testing", 5);
    await until(async () => (await idsOf(who))?.length === 1);
    expect(await reason()).toBe("RETENTION");
    await setDays("testing", 365);
    await until(async () => (await idsOf(who))?.length === 2);
    expect(await reason()).toBe("KEY_CLASS");
  });
});
