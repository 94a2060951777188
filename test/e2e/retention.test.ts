import { afterAll, beforeAll, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { dateOf, dayBefore, eventually } from "./eventually.ts";

const DAY_MS = 86_400_000;

let waymark: Waymark;
let key: string;
beforeAll(async () => {
  waymark = await startWaymark();
  ({ key } = await waymark.workspace("Retention"));
  const code = await makeCode(waymark, key, { destination: "https://example.com" });
  const scan = (id: string, days: number) => ({
    id,
    qpr_code_id: code.id,
    device_id: "d1",
    scanned_at: new Date(Date.now() - days * DAY_MS).toISOString(),
  });
  await sendScans(waymark, key, [scan("now", 0), scan("week", 7), scan("quarter", 90), scan("years", 800)]);
  await eventually(async () => expect(await shown()).toEqual(["now", "week", "quarter", "years"]));
});
afterAll(() => waymark?.stop());

const get = (path: string) => waymark.call("GET", `/analytics/v1${path}`, { key });

const shown = async () => (await get("/events")).body.json.events.map(({ id }: { id: string }) => id);

async function keep(scansDays: number): Promise<void> {
  const answer = await waymark.call("PATCH", "/waymark/v1/workspace", { key, body: { retention: { scansDays } } });
  expect(answer.status).toBe(200);
}

it("what a workspace keeps is what all of its keys are shown, from the moment it says so", async () => {
  for (const [days, ids] of [
    [30, ["now", "week"]],
    [3, ["now"]],
    [365, ["now", "week", "quarter"]],
  ] as const) {
    const begun = performance.now();
    await keep(days);
    await eventually(async () => expect(await shown()).toEqual(ids));
    expect(performance.now() - begun, "before what was known of it is asked again anyway").toBeLessThan(5_000);
  }
});

it("a start before that is moved, and the answer says to when and why", async () => {
  await keep(30);
  await eventually(async () => expect(await shown()).toHaveLength(2));
  const long = `startDate=${dateOf(dayBefore(700))}`;
  const { status, body } = await get(`/metrics/events?${long}&explain=true`);
  expect([status, body.totalEvents]).toEqual([200, 2]);
  expect(body.explain).toMatchObject({ shownFromReason: "RETENTION", considered: "2" });
  const from = Date.parse(body.explain.shownFrom);
  expect(Math.abs(Date.now() - 30 * DAY_MS - from)).toBeLessThan(60_000);
  const synced = await get("/sync");
  expect(synced.body.changes.map(({ id }: { id: string }) => id).sort()).toEqual(["now", "week"]);
  expect(Math.abs(Date.parse(synced.body.retainedFrom) - from)).toBeLessThan(60_000);
  expect((await get(`/events?${long}`)).body.json).toMatchObject({ totalCount: "2" });
});
