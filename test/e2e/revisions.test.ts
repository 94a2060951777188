import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { clearOfMidnight, eventually } from "./eventually.ts";
import { PHONE } from "./phones.ts";

const HEADLESS = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) PriceScout/3.1 Safari/537.36";

let waymark: Waymark;
let key: string;
let code: string;
let start: string;
beforeAll(async () => {
  await clearOfMidnight();
  waymark = await startWaymark();
  ({ key } = await waymark.workspace("Revisions"));
  ({ id: code } = await makeCode(waymark, key, { id: "revised" }));
  start = new Date(Date.now() - 7_200_000).toISOString();
  // Three people, and a price scout with two devices that came before and after them.
  const at = (n: number) => new Date(Date.now() - 3_600_000 + n * 1_000).toISOString();
  await sendScans(waymark, key, [
    ...Array.from({ length: 6 }, (_, n) => scan(`h${n}`, { device_id: `s${n % 2}`, user_agent: HEADLESS, at: at(n) })),
    ...Array.from({ length: 5 }, (_, n) =>
      scan(`p${n}`, { device_id: `p${n % 3}`, user_agent: PHONE, at: at(10 + n) }),
    ),
    { ...scan("talk", { device_id: "s0", user_agent: HEADLESS, at: at(20) }), conversation_messages: 4 },
    scan("nameless", { device_id: "p0", at: at(21) }),
  ]);
  await eventually(async () => expect((await totals()).events).toBe(13));
});
afterAll(() => waymark?.stop());

function scan(id: string, { at, ...given }: { device_id: string; user_agent?: string; at: string }) {
  return { id, qpr_code_id: code, scanned_at: at, country: "US", ...given };
}

const call = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key, body });

/** The same numbers as each product tells them. */
async function totals() {
  await waymark.idle();
  const [numbers, list, bots, metrics, ledger] = await Promise.all([
    call("GET", `/v1/qpr-codes/${code}/analytics?period=7d`),
    call("GET", "/v1/scans?limit=50"),
    call("GET", "/v1/scans?limit=50&include_bots=true"),
    call("GET", "/analytics/v1/metrics/events"),
    call("GET", "/waymark/v1/ledger"),
  ]);
  const { counted, filtered, balanced, accepted } = ledger.body.total;
  return {
    code: numbers.body,
    scans: list.body.total,
    withBots: bots.body.total,
    reasons: new Map(bots.body.scans.map((one: { id: string; filtered?: string }) => [one.id, one.filtered])),
    events: metrics.body.totalEvents,
    ledger: { counted, filtered, balanced, accepted },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the revision as the API shows it
async function reached(id: string, state: string): Promise<any> {
  return eventually(async () => {
    const { body } = await call("GET", `/analytics/v1/revisions/${id}`);
    expect(body.revision).toMatchObject({ state, progress: 1 });
    return body.revision;
  });
}

async function revise(bots: object) {
  const body = { startDate: start, endDate: new Date().toISOString(), rules: { bots } };
  const made = await call("POST", "/analytics/v1/revisions", body);
  expect([made.status, made.text]).toEqual([200, expect.any(String)]);
  return reached(made.body.revision.id, "REVISION_STATE_READY");
}

/** All that a copy of the events has, by the incremental sync. */
async function synced(): Promise<string[]> {
  const copy = new Set<string>();
  for (let cursor = "", hasMore = true; hasMore; ) {
    const { body } = await call("GET", `/analytics/v1/sync?limit=5&cursor=${encodeURIComponent(cursor)}`);
    for (const { op, id } of body.changes) op === "DELETE" ? copy.delete(id) : copy.add(id);
    ({ cursor, hasMore } = body);
  }
  return [...copy].toSorted();
}

describe("history judged again", () => {
  it("shows the difference and changes nothing; applied, all products show the same new numbers, and back again", async () => {
    const before = await totals();
    expect(before).toMatchObject({ scans: 13, withBots: 13, ledger: { counted: 13, filtered: {}, balanced: true } });
    const revision = await revise({ userAgentContains: ["pricescout"] });
    expect(revision.difference).toMatchObject({
      ...{ considered: "13", changed: "7", unjudged: "1" },
      moves: [{ fromReason: "", toReason: "agent", touches: "7" }],
      totals: { eventsBefore: "13", eventsAfter: "6", visitorsBefore: "5", visitorsAfter: "3" },
      byLink: [{ linkId: code, changed: "7" }],
    });
    expect(revision.difference.sample[0]).toMatchObject({ eventId: "talk", toReason: "agent", userAgent: HEADLESS });
    expect(await totals()).toEqual(before);
    const applied = await call("POST", `/analytics/v1/revisions/${revision.id}:apply`, {});
    expect([applied.status, applied.body.revision.state]).toEqual([200, "REVISION_STATE_APPLYING"]);
    expect((await reached(revision.id, "REVISION_STATE_APPLIED")).applied).toBe("7");
    await eventually(async () => expect((await totals()).events).toBe(6));
    const after = await totals();
    expect(after).toMatchObject({ scans: 6, withBots: 13 });
    expect(after.ledger).toEqual({ counted: 6, filtered: { agent: 7 }, balanced: true, accepted: 13 });
    expect([after.reasons.get("talk"), after.reasons.get("p1")]).toEqual(["agent", undefined]);
    expect(before.code).toMatchObject({ scans_total: 13, scans_unique_devices: 5, avg_messages_per_conversation: 4 });
    expect(after.code).toMatchObject({ scans_total: 6, scans_unique_devices: 3, conversation_rate: 0 });
    expect(after.code.top_countries).toEqual([{ country: "US", scans: 6 }]);
    await eventually(async () => expect(await synced()).toEqual(["nameless", "p0", "p1", "p2", "p3", "p4"]));
    const back = await revise({ builtIn: true });
    expect(back.difference).toMatchObject({ changed: "7", unjudged: "1" });
    await call("POST", `/analytics/v1/revisions/${back.id}:apply`, {});
    await reached(back.id, "REVISION_STATE_APPLIED");
    await eventually(async () => expect((await totals()).events).toBe(13));
    expect(await totals()).toEqual(before);
    await eventually(async () => expect(await synced()).toHaveLength(13));
  });

  it("is refused twice, without scope, elsewhere and when it was discarded", async () => {
    const revision = await revise({ maxScansPerMinutePerDevice: 1 });
    const path = `/analytics/v1/revisions/${revision.id}`;
    const { body: made } = await call("POST", "/waymark/v1/keys", { name: "Reader", scopes: ["analytics:read"] });
    const other = await waymark.workspace("Elsewhere");
    const as = async (method: string, at: string, own: string, body?: unknown) =>
      (await waymark.call(method, at, { key: own, body })).status;
    expect(await as("GET", path, made.secret)).toBe(200);
    expect(await as("POST", `${path}:apply`, made.secret, {})).toBe(403);
    expect(await as("DELETE", path, made.secret)).toBe(403);
    expect(await as("GET", path, other.key)).toBe(404);
    expect(await as("POST", `${path}:apply`, other.key, {})).toBe(404);
    expect((await call("DELETE", path)).status).toBe(200);
    expect((await call("POST", `${path}:apply`, {})).status).toBe(404);
    const { body } = await call("GET", "/analytics/v1/revisions");
    expect(body.revisions.map(({ state }: { state: string }) => state)).toEqual([
      "REVISION_STATE_APPLIED",
      "REVISION_STATE_APPLIED",
    ]);
    const twice = await call("POST", `/analytics/v1/revisions/${body.revisions[0].id}:apply`, {});
    expect([twice.status, twice.body.error.message]).toEqual([409, expect.stringContaining("only one that is ready")]);
  });
});
