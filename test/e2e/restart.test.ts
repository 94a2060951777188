import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ADMIN_KEY } from "../support/waymark.ts";
import { type Child, runChild, startChild } from "./child.ts";
import { eventually } from "./eventually.ts";
import { makeTag } from "./house-keys.ts";
import { type Batch, loadUntilItEnds, sendBatch } from "./load.ts";
import { PHONE } from "./phones.ts";

/** How often the process is killed: thrice in every run, 20 times before a release. */
const ROUNDS = Number(process.env.WAYMARK_TEST_KILL_ROUNDS ?? 3);

let folder: string;
let child: Child | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "waymark-restart-"));
});
afterEach(async () => {
  await child?.end("SIGKILL");
  child = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const start = async (): Promise<Child> => {
  child = await startChild(folder);
  return child;
};

/** A workspace with the code that the load scans. */
async function settle({ call }: Child): Promise<string> {
  const made = await call("POST", "/waymark/v1/workspaces", { key: ADMIN_KEY, body: { name: "Load" } });
  const key = made.body.secret as string;
  const code = { id: "code-1", short_id: "load", name: "Load", prompt: "Load", destination: "https://example.com" };
  expect((await call("POST", "/v1/qpr-codes", { key, body: code })).status).toBe(200);
  return key;
}

/** Ids of all scans, page by page, in the order in which they come. */
async function storedIds({ call }: Child, key: string): Promise<string[]> {
  const ids: string[] = [];
  for (let offset = 0; ; offset += 200) {
    const { body } = await call("GET", `/v1/scans?limit=200&offset=${offset}`, { key });
    ids.push(...body.scans.map(({ id }: { id: string }) => id));
    if (body.scans.length < 200) return ids;
  }
}

/** Ids of all events of the analytics, page by page. */
async function eventIds({ call }: Child, key: string): Promise<string[]> {
  const ids: string[] = [];
  let token = "";
  do {
    const { body } = await call("GET", `/analytics/v1/events?pageSize=1000&pageToken=${token}`, { key });
    ids.push(...body.json.events.map(({ id }: { id: string }) => id));
    token = body.json.nextPageToken;
  } while (token !== "");
  return ids;
}

const ledgerOf = async ({ call }: Child, key: string) => (await call("GET", "/waymark/v1/ledger", { key })).body.total;
const idsOf = (batches: readonly Batch[]) => batches.flatMap(({ ids }) => ids);

/** Checks that exactly these scans are there, once each, in every place that counts them. */
async function expectExactly(running: Child, { key, ids }: { key: string; ids: readonly string[] }): Promise<void> {
  const wanted = ids.toSorted();
  await eventually(async () => {
    const ledger = await ledgerOf(running, key);
    expect(ledger).toMatchObject({ counted: wanted.length, pending: 0, balanced: true });
    expect(ledger.accepted).toBe(ledger.counted + ledger.duplicate);
  });
  expect((await storedIds(running, key)).toSorted()).toEqual(wanted);
  const { body } = await running.call("GET", "/v1/qpr-codes/code-1/analytics?period=7d", { key });
  expect(body).toMatchObject({ scans_total: wanted.length, scans_unique_devices: wanted.length, conversation_rate: 1 });
  expect((await running.call("GET", "/v1/qpr-codes/code-1", { key })).body.scans_total).toBe(wanted.length);
  await eventually(async () => {
    const metrics = await running.call("GET", "/analytics/v1/metrics/events", { key });
    expect(metrics.body.totalEvents).toBe(wanted.length);
  });
  expect((await eventIds(running, key)).toSorted()).toEqual(wanted);
}

it(`${ROUNDS} kills in mid-load lose nothing that was acknowledged, and count nothing twice`, {
  timeout: ROUNDS * 60_000,
}, async () => {
  let running = await start();
  const key = await settle(running);
  const { encryptedId } = await makeTag(running, key, { itemName: "Printed before" });
  const all: string[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const most = randomInt(8, 60);
    let killing: Promise<unknown> | undefined;
    const onAcknowledged = (count: number): void => {
      if (count >= most) killing ??= running.end("SIGKILL");
    };
    const sent = await loadUntilItEnds(running, { key, name: `round-${round}`, onAcknowledged });
    await killing;
    expect(sent.refused).toEqual([]);
    expect(sent.acknowledged.length).toBeGreaterThanOrEqual(most);
    running = await start();
    await eventually(async () => expect((await ledgerOf(running, key)).pending).toBe(0));
    const stored = await storedIds(running, key);
    expect(new Set(stored).size).toBe(stored.length);
    const acknowledged = [...all, ...idsOf(sent.acknowledged)];
    expect(acknowledged.filter((id) => !new Set(stored).has(id))).toEqual([]);
    const known = new Set([...acknowledged, ...idsOf(sent.unknown)]);
    expect(stored.filter((id) => !known.has(id))).toEqual([]);
    const again = { acknowledged: [], unknown: [], refused: [] };
    for (const batch of [...sent.unknown, ...sent.acknowledged.slice(-3)])
      expect(await sendBatch(running, { key, batch, sent: again })).toBe(true);
    expect(again).toMatchObject({ unknown: [], refused: [] });
    all.push(...idsOf([...sent.acknowledged, ...sent.unknown]));
    await expectExactly(running, { key, ids: all });
  }
  const found = await running.call("GET", `/api/v1/scan/${encryptedId}`);
  expect(found.body.data.itemName).toBe("Printed before");
});

it("SIGTERM in mid-load ends with 0 and loses nothing that was acknowledged", { timeout: 120_000 }, async () => {
  const running = await start();
  const key = await settle(running);
  let ending: Promise<number | null> | undefined;
  const scanned = { asked: 0, redirected: 0 };
  const onAcknowledged = (count: number): void => {
    if (count >= 30) ending ??= running.end("SIGTERM");
    if (ending !== undefined) return;
    scanned.asked += 1;
    const headers = { "user-agent": PHONE };
    running.call("GET", "/s/load", { headers }).then(
      ({ status }) => {
        if (status === 302) scanned.redirected += 1;
      },
      () => undefined,
    );
  };
  const sent = await loadUntilItEnds(running, { key, name: "term", onAcknowledged });
  expect(await ending).toBe(0);
  expect(running.output().err).toBe("");
  expect(sent.refused.filter(({ status }) => status !== 503)).toEqual([]);
  expect(scanned.redirected).toBeGreaterThan(0);
  const next = await start();
  await eventually(async () => expect((await ledgerOf(next, key)).pending).toBe(0));
  const stored = await storedIds(next, key);
  const redirects = stored.filter((id) => id.startsWith("scan_"));
  expect(redirects.length).toBeGreaterThanOrEqual(scanned.redirected);
  expect(redirects.length).toBeLessThanOrEqual(scanned.asked);
  expect(new Set(stored).size).toBe(stored.length);
  expect(idsOf(sent.acknowledged).filter((id) => !new Set(stored).has(id))).toEqual([]);
  expect((await ledgerOf(next, key)).counted).toBe(stored.length);
});

it("a second process on the same folder ends with 1 and says why; the first goes on", { timeout: 60_000 }, async () => {
  const first = await start();
  const second = await runChild(folder);
  expect(second.code).toBe(1);
  expect(second.err).toMatch(/^waymark: .*(use|another|already|runs).*\n$/i);
  expect(second.err).toContain(folder);
  expect(second.err).not.toMatch(/\n\s+at /);
  expect((await first.call("GET", "/readyz")).status).toBe(200);
  expect(await first.end("SIGTERM")).toBe(0);
  expect((await (await start()).call("GET", "/readyz")).status).toBe(200);
});
