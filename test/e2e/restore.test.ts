import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, type SentScan, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { PHONE } from "./phones.ts";

let folder: string;
let waymark: Waymark | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-restore-"));
});
afterEach(async () => {
  await waymark?.stop();
  waymark = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const start = async (): Promise<Waymark> => {
  waymark = await startWaymark({ WAYMARK_DATA: folder, WAYMARK_PUBLIC_URL: "https://qr.example" });
  return waymark;
};
const stop = async (): Promise<void> => {
  await waymark?.stop();
  waymark = undefined;
};

const COUNTRIES = ["DE", "FR", undefined, "US"];
const AGENTS = [PHONE, "Googlebot/2.1", ""];

/** Scans of many kinds over some weeks: people and programs, known and unknown devices, some twice. */
function scansOf(codes: readonly string[]): SentScan[] {
  const now = Date.now();
  const scans = Array.from({ length: 60 }, (_, n) => ({
    id: `scan_${n}`,
    qpr_code_id: codes[n % codes.length],
    scanned_at: new Date(now - n * 11 * 3_600_000).toISOString(),
    device_id: n % 5 === 4 ? undefined : `device_${n % 7}`,
    country: COUNTRIES[n % 4],
    city: n % 4 === 0 ? "Berlin" : undefined,
    user_agent: AGENTS[n % 3],
    conversation_messages: n % 6 === 0 ? n : 0,
  }));
  return [...scans, ...scans.slice(10, 14)];
}

/** Everything that the Analytics API says of a workspace, as text. */
async function answersOf({ call }: Waymark, key: string): Promise<Record<string, string>> {
  const asked: [string, string, unknown?][] = [
    ["GET", "/analytics/v1/events?pageSize=1000&include=device&include=visitor&include=link"],
    ["GET", "/analytics/v1/events?pageSize=1000&responseFormat=RESPONSE_FORMAT_CSV"],
    ["GET", "/analytics/v1/visitors?include=devices&include=events&include=links"],
    ["GET", "/analytics/v1/metrics/events"],
    ["POST", "/analytics/v1/timeseries/events", { startDate: "2026-10-01", endDate: "2026-12-31" }],
  ];
  const answers: Record<string, string> = {};
  for (const [method, path, body] of asked) {
    const answer = await call(method, path, { key, body });
    expect([path, answer.status]).toEqual([path, 200]);
    answers[path] = answer.text;
  }
  const { body } = await call("GET", "/analytics/v1/sync", { key });
  // Who is told of a table that was made anew from documents never had what was forgotten before.
  const told = body.changes.filter(({ reason }: Record<string, string>) => reason !== "erased");
  answers.sync = JSON.stringify(
    told.map(({ kind, op, id, data, revisedAt, rules, reason }: Record<string, string>) => [
      ...[kind, op],
      id,
      data,
      revisedAt,
      rules,
      reason,
    ]),
  );
  return answers;
}

/** A workspace with two codes, scans of three kinds through the API and at the door, and a conversation. */
async function settle(running: Waymark): Promise<string> {
  const { key } = await running.workspace("Restored");
  const codes = [];
  for (const name of ["one", "two"]) {
    const code = { id: name, name, short_id: `short-${name}`, destination: "https://example.com/?utm_source=x" };
    codes.push((await makeCode(running, key, { ...code, tags: ["spring", name] })).id as string);
  }
  await sendScans(running, key, scansOf(codes));
  await running.call("GET", "/s/short-one?utm_campaign=autumn", {
    headers: { "user-agent": PHONE, "accept-language": "de-DE", referer: "https://example.org/page" },
  });
  await running.call("POST", "/v1/scans/scan_6/conversation", { key, body: { messages: 40, completed: true } });
  await eventually(async () => {
    await running.idle();
    const { body } = await running.call("GET", "/analytics/v1/metrics/events", { key });
    expect(body.totalEvents).toBe(41);
  });
  await judgeAgain(running, key);
  // The log ends with something else than that: else who was forgotten would be told once more.
  await running.call("POST", "/v1/scans/scan_6/conversation", { key, body: { messages: 41, completed: true } });
  await eventually(async () => {
    await running.idle();
    const { body } = await running.call("GET", "/analytics/v1/sync", { key });
    expect(body.changes.at(-1)).toMatchObject({ id: "scan_6" });
  });
  return key;
}

/** The scans of one visitor are a program's from now on, and devices are recognised within a day. */
async function judgeAgain({ call }: Waymark, key: string): Promise<void> {
  const body = { startDate: "2020-01-01T00:00:00Z", endDate: new Date().toISOString() };
  const { body: list } = await call("GET", "/analytics/v1/events?pageSize=1000", { key });
  const { visitorId } = list.json.events.find(({ id }: { id: string }) => id === "scan_0");
  const mine = list.json.events.filter((event: { visitorId?: string }) => event.visitorId === visitorId).length;
  expect(mine).toBeGreaterThan(1);
  const identity = { devices: "DEVICE_IDENTITY_SETTING_DAILY" };
  const rules = { bots: { deviceIds: [visitorId] }, identity };
  const made = await call("POST", "/analytics/v1/revisions", { key, body: { ...body, rules } });
  const path = `/analytics/v1/revisions/${made.body.revision.id}`;
  await eventually(async () => expect((await call("POST", `${path}:apply`, { key, body: {} })).status).toBe(200));
  await eventually(async () => {
    const { body: now } = await call("GET", "/analytics/v1/metrics/events", { key });
    expect(now.totalEvents).toBe(41 - mine);
  });
  await forgetOne({ call }, { key, events: 41 - mine });
}

/** Somebody is forgotten by the device that is recognised within a day. */
async function forgetOne(
  { call }: Pick<Waymark, "call">,
  { key, events }: { key: string; events: number },
): Promise<void> {
  const { body: list } = await call("GET", "/analytics/v1/events?pageSize=1000", { key });
  const { visitorId } = list.json.events.find((event: { visitorId?: string }) => event.visitorId !== undefined);
  const theirs = list.json.events.filter((event: { visitorId?: string }) => event.visitorId === visitorId).length;
  expect((await call("DELETE", `/analytics/v1/visitors/${visitorId}`, { key })).status).toBe(200);
  await eventually(async () => {
    const { body: now } = await call("GET", "/analytics/v1/metrics/events", { key });
    expect(now.totalEvents).toBe(events - theirs);
  });
}

const forget = (): void => {
  for (const name of readdirSync(folder).filter((one) => one.startsWith("analytics.duckdb")))
    rmSync(join(folder, name), { recursive: true });
};

const damage: Record<string, () => void> = {
  "was deleted": forget,
  "is no file of its kind": () => {
    forget();
    writeFileSync(join(folder, "analytics.duckdb"), Buffer.alloc(40_000, "damaged"));
  },
  "was deleted, and the log has let go of its beginning": () => {
    forget();
    const db = new DatabaseSync(join(folder, "log.db"));
    db.exec("DELETE FROM entries WHERE position < (SELECT max(position) FROM entries)");
    db.close();
  },
};

for (const [what, harm] of Object.entries(damage)) {
  it(`answers as before when the file of the analytics ${what}`, async () => {
    const key = await settle(await start());
    const before = await answersOf(waymark as Waymark, key);
    await stop();
    harm();
    const again = await start();
    await eventually(async () => expect(await answersOf(again, key)).toEqual(before));
  });
}
