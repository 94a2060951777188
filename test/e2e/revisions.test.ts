import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { clearOfMidnight, eventually } from "./eventually.ts";
import { DESKTOP, PHONE } from "./phones.ts";

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
    expect(body.revision).toMatchObject({ status: state, progress: 1 });
    return body.revision;
  });
}

async function revise(bots: object) {
  const body = { startDate: start, endDate: new Date().toISOString(), rules: { bots } };
  const made = await call("POST", "/analytics/v1/revisions", body);
  expect([made.status, made.text]).toEqual([200, expect.any(String)]);
  return reached(made.body.revision.id, "READY");
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
    expect([applied.status, applied.body.revision.status]).toEqual([200, "APPLYING"]);
    expect((await reached(revision.id, "APPLIED")).applied).toBe("7");
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
    await reached(back.id, "APPLIED");
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
    expect(body.revisions.map(({ status }: { status: string }) => status)).toEqual(["APPLIED", "APPLIED"]);
    const twice = await call("POST", `/analytics/v1/revisions/${body.revisions[0].id}:apply`, {});
    expect([twice.status, twice.body.error.message]).toEqual([409, expect.stringContaining("only one that is ready")]);
  });
});

describe("devices decided again", () => {
  const DAY_MS = 86_400_000;
  const updated = PHONE.replaceAll("17_4", "18_1").replaceAll("17.4", "18.1");
  let own: string;
  let door: string;
  const ask = (method: string, path: string, body?: unknown) => waymark.call(method, path, { key: own, body });
  const range = { startDate: new Date(Date.now() - 4 * DAY_MS).toISOString(), endDate: new Date().toISOString() };

  beforeAll(async () => {
    ({ key: own } = await waymark.workspace("Owners"));
    expect((await ask("PATCH", "/waymark/v1/workspace", { privacy: { ip: "full" } })).status).toBe(200);
    ({ id: door } = await makeCode(waymark, own, { id: "door" }));
    const at = (daysAgo: number, n = 0) => new Date(Date.now() - daysAgo * DAY_MS + n * 1_000).toISOString();
    const one = (id: string, given: object) => ({ id, qpr_code_id: door, scanned_at: at(1), ...given });
    await sendScans(waymark, own, [
      // A phone before and after its update, a till that four people use, somebody with a pseudonym, and Cara, who said who she is.
      one("a1", { ip: "203.0.113.1", user_agent: PHONE, scanned_at: at(2) }),
      one("a2", { ip: "203.0.113.1", user_agent: updated }),
      ...["t1", "t2", "t3", "t4"].map((id, n) =>
        one(id, { ip: "203.0.113.9", user_agent: DESKTOP, scanned_at: at(1, n) }),
      ),
      ...["b1", "b2"].map((id, n) => one(id, { device_id: "bea", scanned_at: at(2 - n) })),
      ...["c1", "c2", "c3", "c4"].map((id) => one(id, { device_id: "cara" })),
    ]);
    await eventually(async () => expect((await people()).events).toBe(12));
    const lbid = Buffer.from("c1").toString("base64url");
    const said = { lbid, visitor: { data: { $email: "cara@example.com" } } };
    expect((await ask("POST", "/analytics/v1/visitor/identify", said)).status).toBe(200);
  });

  /** Events and visitors of the workspace, and devices of the code. */
  async function people() {
    await waymark.idle();
    const [metrics, visitors, code, series] = await Promise.all([
      ask("GET", "/analytics/v1/metrics/events"),
      ask("GET", "/analytics/v1/visitors"),
      ask("GET", `/v1/qpr-codes/${door}/analytics?period=7d`),
      ask("POST", "/analytics/v1/analytics/breakdown", { dimension: "link", ...range, explain: true }),
    ]);
    const { withoutDevice, revised, rules } = series.body.explain;
    return {
      events: metrics.body.totalEvents,
      visitors: visitors.body.json.visitors.length,
      devices: code.body.scans_unique_devices,
      explained: { withoutDevice, revised, identity: rules.identity },
    };
  }

  // biome-ignore lint/suspicious/noExplicitAny: the difference as the API shows it
  async function revised(identity: object): Promise<any> {
    const made = await ask("POST", "/analytics/v1/revisions", { ...range, rules: { identity } });
    expect([made.status, made.text]).toEqual([200, expect.any(String)]);
    const path = `/analytics/v1/revisions/${made.body.revision.id}`;
    const { difference } = await eventually(async () => {
      const { body } = await ask("GET", path);
      expect(body.revision.status).toBe("READY");
      return body.revision;
    });
    expect((await ask("POST", `${path}:apply`, {})).status).toBe(200);
    await eventually(async () =>
      expect((await ask("GET", path)).body.revision).toMatchObject({
        ...{ status: "APPLIED", applied: difference.changed },
      }),
    );
    return difference;
  }

  it("make one visitor of an updated phone and none of a shared till, in all products; by days and back", async () => {
    const identity = { events: 12, explained: { withoutDevice: "0", revised: "0", identity: "1" } };
    expect(await people()).toEqual({ ...identity, visitors: 5, devices: 5 });
    const first = await revised({ ignoreVersions: true, maxScansPerDayPerDevice: 3 });
    expect(first).toMatchObject({
      ...{ considered: "12", changed: "6", unjudgedDevices: "2" },
      totals: { eventsBefore: "12", eventsAfter: "12", visitorsBefore: "5", visitorsAfter: "3" },
      deviceMoves: [
        { change: "SHARED", touches: "4" },
        { change: "VERSIONS", touches: "2" },
      ],
    });
    expect(JSON.stringify(first)).not.toMatch(/203\.0\.113|vis_/);
    const explained = { withoutDevice: "4", revised: "6", identity: "1" };
    await eventually(async () => expect(await people()).toEqual({ events: 12, visitors: 3, devices: 3, explained }));
    const daily = await revised({ devices: "DEVICE_IDENTITY_SETTING_DAILY" });
    expect(daily).toMatchObject({ changed: "4", totals: { visitorsBefore: "3", visitorsAfter: "5" } });
    await eventually(async () => expect(await people()).toMatchObject({ events: 12, visitors: 5, devices: 5 }));
    const stable = await revised({ devices: "DEVICE_IDENTITY_SETTING_STABLE" });
    expect(stable).toMatchObject({ changed: "2", unjudgedDevices: "2", totals: { visitorsAfter: "4" } });
    await eventually(async () => expect(await people()).toMatchObject({ events: 12, visitors: 4, devices: 4 }));
  });

  it.each([
    [{}, "rules"],
    [{ ignoreVersions: false }, "rules"],
    [{ devices: "DEVICE_IDENTITY_SETTING_UNSPECIFIED" }, "rules.identity.devices"],
    [{ devices: "WEEKLY" }, "rules.identity.devices"],
    [{ maxScansPerDayPerDevice: 0 }, "rules.identity.maxScansPerDayPerDevice"],
    [{ ignoreVersions: "yes" }, "rules.identity.ignoreVersions"],
  ])("are refused for %j, naming %s", async (identity, field) => {
    const { status, body } = await ask("POST", "/analytics/v1/revisions", { ...range, rules: { identity } });
    expect([status, body.error.message]).toEqual([400, expect.stringContaining(field)]);
  });
});
