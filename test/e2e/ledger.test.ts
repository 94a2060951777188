import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWaymark, type Waymark } from "../support/waymark.ts";
import { makeCode, sendScans } from "./campaign.ts";
import { eventually } from "./eventually.ts";
import { PHONE } from "./phones.ts";

let waymark: Waymark;

beforeAll(async () => {
  waymark = await startWaymark();
});
afterAll(() => waymark?.stop());

async function ground(name: string) {
  const { key } = await waymark.workspace(name);
  const code = await makeCode(waymark, key, { destination: "https://example.com" });
  const ledger = async (query = "") => (await waymark.call("GET", `/waymark/v1/ledger${query}`, { key })).body;
  return { key, code, ledger };
}

interface Tally {
  received: number;
  accepted: number;
  rejected: number;
  shed: number;
  counted: number;
  filtered: Record<string, number>;
  duplicate: number;
  pending: number;
  balanced: boolean;
}

function balances(tally: Tally): boolean {
  const filtered = Object.values(tally.filtered).reduce((sum, count) => sum + count, 0);
  return (
    tally.received === tally.accepted + tally.rejected + tally.shed &&
    tally.accepted === tally.counted + filtered + tally.duplicate + tally.pending
  );
}

const NOTHING = {
  received: 0,
  accepted: 0,
  rejected: 0,
  shed: 0,
  counted: 0,
  filtered: {},
  duplicate: 0,
  pending: 0,
  balanced: true,
};

describe("the ledger", () => {
  it("of a workspace in which nothing has happened is empty and balances", async () => {
    const { ledger } = await ground("Nothing");
    expect(await ledger()).toStrictEqual({ total: NOTHING, hours: [], nextPageToken: "" });
  });

  it("is the sum of what was sent, whatever became of it", async () => {
    const { key, code, ledger } = await ground("Everything");
    const good = Array.from({ length: 40 }, (_, n) => ({ id: `g${n}`, qpr_code_id: code.id }));
    const bots = Array.from({ length: 7 }, (_, n) => ({
      id: `b${n}`,
      qpr_code_id: code.id,
      user_agent: "Googlebot/2.1",
    }));
    const previews = [{ qpr_code_id: code.id, user_agent: "WhatsApp/2.23" }];
    const bad = [{ qpr_code_id: "nobody" }, { qpr_code_id: code.id, scanned_at: "no" }, {}];
    await sendScans(waymark, key, [...good, ...bots, ...previews, ...bad]);
    await sendScans(waymark, key, good.slice(0, 25));
    await sendScans(waymark, key, [good[0] ?? {}, good[0] ?? {}, ...bots.slice(0, 2)]);
    await waymark.call("HEAD", `/s/${code.short_id}`, { headers: { "user-agent": PHONE } });
    await waymark.call("GET", `/s/${code.short_id}`, { headers: { "user-agent": PHONE } });
    await waymark.call("POST", "/v1/scans", { key, body: { scans: "not a batch" } });
    const { total, hours } = await eventually(async () => {
      const books = await ledger();
      expect(books.total).toMatchObject({ received: 82, pending: 0 });
      return books;
    });
    expect(total).toStrictEqual({
      received: 40 + 7 + 1 + 3 + 25 + 4 + 2,
      accepted: 40 + 7 + 1 + 25 + 4 + 2,
      rejected: 3,
      shed: 0,
      counted: 41,
      filtered: { isbot: 7, preview: 1, head: 1 },
      duplicate: 29,
      pending: 0,
      balanced: true,
    });
    expect(balances(total)).toBe(true);
    for (const hour of hours) expect(balances(hour)).toBe(true);
    const sum = (field: "received" | "counted" | "duplicate") =>
      hours.reduce((all: number, hour: Tally) => all + hour[field], 0);
    expect([sum("received"), sum("counted"), sum("duplicate")]).toEqual([82, 41, 29]);
    expect(Object.keys(hours[0])).toEqual(["hour", ...Object.keys(NOTHING)]);
    expect(hours[0].hour).toMatch(/T\d\d:00:00Z$/);
  });

  it("is by the hour of arrival, not of the scan", async () => {
    const { key, code, ledger } = await ground("Late");
    await sendScans(waymark, key, [{ qpr_code_id: code.id, scanned_at: "2020-01-01T00:00:00Z" }]);
    const { total, hours } = await ledger();
    expect([total.counted, hours.length]).toEqual([1, 1]);
    expect(Date.now() - Date.parse(hours[0].hour)).toBeLessThan(2 * 3_600_000);
    const past = await ledger("?from=2020-01-01&to=2020-01-02");
    expect(past).toStrictEqual({ total: NOTHING, hours: [], nextPageToken: "" });
    const ahead = await ledger(`?from=${new Date(Date.now() + 2 * 3_600_000).toISOString()}&to=2036-01-01`);
    expect(ahead.total).toStrictEqual(NOTHING);
  });

  it("balances at every moment while scans arrive", async () => {
    const { key, code, ledger } = await ground("Load");
    const tallies: Tally[] = [];
    let sending = true;
    const watching = (async () => {
      while (sending) tallies.push((await ledger()).total);
    })();
    const batches = Array.from({ length: 30 }, (_, batch) =>
      Array.from({ length: 100 }, (_, n) => ({ id: `s${(batch % 20) * 100 + n}`, qpr_code_id: code.id })),
    );
    await Promise.all(batches.map((scans) => waymark.call("POST", "/v1/scans", { key, body: { scans } })));
    await waymark.idle();
    sending = false;
    await watching;
    expect(tallies.filter((tally) => !balances(tally) || !tally.balanced)).toEqual([]);
    expect((await ledger()).total).toMatchObject({
      received: 3_000,
      accepted: 3_000,
      counted: 2_000,
      duplicate: 1_000,
      pending: 0,
    });
  });

  it.each([
    ["from=yesterday", "from"],
    ["pageSize=0", "pageSize"],
    ["pageSize=1001", "pageSize"],
    ["pageToken=nonsense", "pageToken"],
  ])("refuses %s", async (query, field) => {
    const { key } = await ground("Refusals");
    const answer = await waymark.call("GET", `/waymark/v1/ledger?${query}`, { key });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([400, "application/problem+json"]);
    expect(answer.body.detail).toContain(field);
  });
});
