import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ScanInput } from "#gen/waymark/scans/v1/scans_pb.ts";
import { fail } from "#runtime/failure.ts";
import { type Bench, openBench } from "./test-bench.ts";

let bench: Bench;
let refusing: Error | undefined;
beforeEach(async () => {
  refusing = undefined;
  bench = await openBench((log) => ({
    ...log,
    append: (...all) => (refusing === undefined ? log.append(...all) : Promise.reject(refusing)),
  }));
});
afterEach(async () => {
  refusing = undefined;
  expect(bench.alarms).toEqual([]);
  await bench.close();
});

const at = (text: string) => timestampFromMs(Date.parse(text));
const create = (scans: Partial<Omit<ScanInput, "$typeName">>[], principal = {}) =>
  bench.scans.createScans({ scans }, bench.by(principal));
const ids = (reply: { scans: { id: string }[] }) => reply.scans.map(({ id }) => id);
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: ConnectError) => [error.code, error.rawMessage],
  );
const BOT = "Googlebot/2.1";

describe("ListScans", () => {
  beforeEach(async () => {
    await create([
      { id: "old", qprCodeId: "qpr_1", scannedAt: at("2026-03-18T10:00:00Z"), country: "US" },
      { id: "tie_a", qprCodeId: "qpr_1", scannedAt: at("2026-03-19T10:00:00Z") },
      { id: "tie_b", qprCodeId: "qpr_2", scannedAt: at("2026-03-19T10:00:00Z") },
      { id: "bot", qprCodeId: "qpr_1", scannedAt: at("2026-03-19T12:00:00Z"), userAgent: BOT },
      { id: "new", qprCodeId: "qpr_1", scannedAt: at("2026-03-20T10:00:00.500Z") },
    ]);
    await bench.idle();
  });
  const list = (request: object) => bench.scans.listScans(request, bench.by());

  it("shows people newest first, ties by id, with a total of all", async () => {
    const page = await list({});
    expect(ids(page)).toEqual(["new", "tie_b", "tie_a", "old"]);
    expect(page).toMatchObject({ total: 4n, limit: 50, offset: 0 });
    expect(page.scans[3]).toMatchObject({
      country: "US",
      qprCodeId: "qpr_1",
      shortId: "hc9m3r",
      conversationMessages: 0,
    });
    expect(page.scans[0]?.country).toBeUndefined();
  });

  it.each([
    ["a page", { limit: 2, offset: 1 }, ["tie_b", "tie_a"], 4n],
    ["a page beyond the end", { offset: 9 }, [], 4n],
    ["one code", { qprCodeId: "qpr_2" }, ["tie_b"], 1n],
    ["an unknown code", { qprCodeId: "nope" }, [], 0n],
    ["what was scanned after a time, that time not included", { since: at("2026-03-19T10:00:00Z") }, ["new"], 1n],
    ["what was scanned before a time, that time not included", { until: at("2026-03-19T10:00:00Z") }, ["old"], 1n],
    [
      "a time between",
      { since: at("2026-03-18T09:59:59Z"), until: at("2026-03-20T10:00:00.500Z") },
      ["tie_b", "tie_a", "old"],
      3n,
    ],
    ["nothing between", { since: at("2026-03-19T10:00:00Z"), until: at("2026-03-19T10:00:00Z") }, [], 0n],
    ["programs too", { includeBots: true }, ["new", "bot", "tie_b", "tie_a", "old"], 5n],
    ["a page with programs", { includeBots: true, limit: 2, offset: 1, qprCodeId: "qpr_1" }, ["bot", "tie_a"], 4n],
    ["programs of a time", { includeBots: true, since: at("2026-03-19T11:00:00Z") }, ["new", "bot"], 2n],
  ])("shows %s", async (_case, request, wanted, total) => {
    const page = await list(request);
    expect(ids(page)).toEqual(wanted);
    expect(page.total).toBe(total);
  });

  it("says why a program is not counted, and nothing of people", async () => {
    expect((await list({ includeBots: true })).scans.map(({ filtered }) => filtered)).toEqual([
      undefined,
      "isbot",
      undefined,
      undefined,
      undefined,
    ]);
    expect((await bench.scans.getScan({ scanId: "bot" }, bench.by())).scan?.filtered).toBe("isbot");
  });

  it.each([{ limit: 0 }, { limit: 201 }, { offset: -1 }])("refuses %j", async (request) => {
    expect(await codeOf(list(request))).toMatchObject([
      Code.InvalidArgument,
      expect.stringContaining(Object.keys(request)[0] as string),
    ]);
  });

  it("shows a caller what it wrote, without waiting for it to ask later", async () => {
    await create([{ id: "mine", qprCodeId: "qpr_2" }]);
    expect(await list({ qprCodeId: "qpr_2" })).toMatchObject({ total: 2n });
  });

  it("keeps workspaces and test data apart, and shows of test data the last 30 days", async () => {
    await create(
      [
        { id: "t", qprCodeId: "qpr_1" },
        { id: "t_old", qprCodeId: "qpr_1", scannedAt: at("2026-02-01T00:00:00Z") },
      ],
      { test: true },
    );
    await bench.idle();
    expect(ids(await bench.scans.listScans({}, bench.by({ test: true })))).toEqual(["t"]);
    expect((await bench.scans.listScans({}, bench.by({ test: true }))).total).toBe(1n);
    expect((await list({})).total).toBe(4n);
    expect((await bench.scans.listScans({}, bench.by({ workspace: "other" }))).total).toBe(0n);
    expect(await codeOf(bench.scans.getScan({ scanId: "t" }, bench.by()))).toEqual([
      Code.NotFound,
      "scan t does not exist",
    ]);
    expect((await bench.scans.getScan({ scanId: "t" }, bench.by({ test: true }))).scan?.id).toBe("t");
    expect(await bench.intake.countScans({ codeIds: ["qpr_1"] }, bench.by({ test: true }))).toMatchObject({
      totals: [2n],
    });
    const seen = await bench.scans.getCodeAnalytics({ qprCodeId: "qpr_1", period: "90d" }, bench.by({ test: true }));
    expect(seen).toMatchObject({ scansTotal: 1n });
    expect(seen.timeseries).toHaveLength(90);
    expect(seen.topCountries.map(({ scans }) => scans)).toEqual([1n]);
  });
});

describe("GetCodeAnalytics", () => {
  const analytics = (request: object = {}) =>
    bench.scans.getCodeAnalytics({ qprCodeId: "qpr_1", ...request }, bench.by());

  it("answers with the numbers of the period and every bucket of it", async () => {
    const base = { qprCodeId: "qpr_1", deviceId: "d1", country: "US" };
    await create([
      { ...base, scannedAt: at("2026-02-19T00:00:00Z"), conversationMessages: 4 },
      { ...base, scannedAt: at("2026-02-18T23:59:59Z") },
      { ...base, deviceId: "d2", country: "GB", conversationStarted: true },
      { ...base, deviceId: "d2", country: undefined, conversationMessages: 7, scannedAt: at("2026-03-20T15:35:00Z") },
      { ...base, deviceId: "d3", userAgent: BOT },
      { ...base, qprCodeId: "qpr_2" },
    ]);
    await bench.idle();
    const reply = await analytics({ explain: true });
    expect(reply).toMatchObject({
      qprCodeId: "qpr_1",
      period: "30d",
      scansTotal: 3n,
      scansUniqueDevices: 2n,
      conversationRate: 1,
      avgMessagesPerConversation: 3.7,
      topCountries: [{ country: "GB", scans: 1n }, { country: "US", scans: 1n }, { scans: 1n }],
    });
    expect(reply.topCountries[2]?.country).toBeUndefined();
    expect(reply.timeseries).toHaveLength(30);
    expect(reply.timeseries[0]).toMatchObject({ date: "2026-02-19", scans: 1n, conversations: 1n });
    expect(reply.timeseries[1]).toMatchObject({ date: "2026-02-20", scans: 0n, conversations: 0n });
    expect(reply.timeseries[29]).toMatchObject({ date: "2026-03-20", scans: 2n, conversations: 2n });
    expect(reply.explain).toMatchObject({ rules: { verdict: "1", counting: "1" }, filtered: { isbot: 1n } });
    expect(reply.explain?.completeTo?.time && timestampDate(reply.explain.completeTo.time).getTime()).toBe(
      bench.clock.now,
    );
    expect(await analytics({ period: "all" })).toMatchObject({
      scansTotal: 4n,
      scansUniqueDevices: 2n,
      conversationRate: 0.75,
    });
  });

  it("cuts hours, days and weeks in the time zone asked for", async () => {
    await create([
      { qprCodeId: "qpr_1", scannedAt: at("2026-03-13T18:29:59Z"), country: "IN" },
      { qprCodeId: "qpr_1", scannedAt: at("2026-03-13T18:30:00Z"), country: "IN" },
      { qprCodeId: "qpr_1", scannedAt: at("2026-03-15T18:30:00Z"), country: "IN" },
    ]);
    await bench.idle();
    const timezone = "Asia/Kolkata";
    const days = await analytics({ period: "7d", timezone });
    expect(days).toMatchObject({ scansTotal: 2n, topCountries: [{ country: "IN", scans: 2n }] });
    expect(days.timeseries.filter(({ scans }) => scans > 0n).map(({ date }) => date)).toEqual([
      "2026-03-14",
      "2026-03-16",
    ]);
    const hours = await analytics({ period: "7d", granularity: "hour", timezone });
    expect(hours.timeseries.filter(({ scans }) => scans > 0n).map(({ date }) => date)).toEqual([
      "2026-03-14T00:00:00+05:30",
      "2026-03-16T00:00:00+05:30",
    ]);
    expect(hours.timeseries.at(-1)?.date).toBe("2026-03-20T21:00:00+05:30");
    const weeks = await analytics({ period: "7d", granularity: "week", timezone });
    expect(weeks.timeseries).toMatchObject([
      { date: "2026-03-09", scans: 1n },
      { date: "2026-03-16", scans: 1n },
    ]);
  });

  it("begins `all` with the first scan, and has no bucket without one", async () => {
    expect((await analytics({ period: "all" })).timeseries).toEqual([]);
    await create([{ qprCodeId: "qpr_1", scannedAt: at("2026-03-18T23:00:00Z") }]);
    await bench.idle();
    expect((await analytics({ period: "all" })).timeseries.map(({ date }) => date)).toEqual([
      "2026-03-18",
      "2026-03-19",
      "2026-03-20",
    ]);
    const hours = (await analytics({ period: "all", granularity: "hour" })).timeseries;
    expect([hours[0]?.date, hours.at(-1)?.date, hours.length]).toEqual([
      "2026-03-18T00:00:00Z",
      "2026-03-20T15:00:00Z",
      64,
    ]);
  });

  it("refuses what it does not know, naming it", async () => {
    expect(await codeOf(analytics({ period: "8d" }))).toMatchObject([
      Code.InvalidArgument,
      expect.stringContaining("period"),
    ]);
    expect(await codeOf(analytics({ granularity: "minute" }))).toMatchObject([
      Code.InvalidArgument,
      expect.stringContaining("granularity"),
    ]);
    expect(await codeOf(analytics({ timezone: "Mars/Olympus" }))).toEqual([
      Code.InvalidArgument,
      "timezone must be an IANA time zone, as Europe/Paris",
    ]);
    expect(await codeOf(analytics({ qprCodeId: "nope" }))).toEqual([Code.NotFound, "QPR code nope does not exist"]);
  });
});

describe("GetLedger", () => {
  const ledger = (request: object = {}, principal = {}) => bench.ledger.getLedger(request, bench.by(principal));

  it("balances at any moment: refused, shed, counted, filtered, known, and not yet looked at", async () => {
    await create([{ id: "a", qprCodeId: "qpr_1" }, { qprCodeId: "qpr_1", userAgent: BOT }, { qprCodeId: "nope" }]);
    await create([{ id: "a", qprCodeId: "qpr_1" }]);
    await bench.idle();
    refusing = fail("OVERLOADED");
    expect(await codeOf(create([{ qprCodeId: "qpr_1" }, {}]))).toEqual([
      Code.Unavailable,
      "the intake queue is full; try again shortly",
    ]);
    refusing = undefined;
    await bench.pause();
    await create([{ id: "a", qprCodeId: "qpr_1" }, { id: "b", qprCodeId: "qpr_2" }, { shortId: "nope" }]);
    const open = { received: 9n, accepted: 5n, rejected: 2n, shed: 2n, counted: 1n, filtered: { isbot: 1n } };
    const before = await ledger();
    expect(before.total).toMatchObject({ ...open, duplicate: 2n, pending: 1n, balanced: true });
    bench.resume();
    await bench.idle();
    const after = await ledger();
    expect(after.total).toMatchObject({ ...open, counted: 2n, duplicate: 2n, pending: 0n, balanced: true });
    expect(after.hours.map(({ hour, tally }) => [hour, tally?.received])).toEqual([["2026-03-20T15:00:00Z", 9n]]);
    expect((await ledger({}, { test: true })).total).toMatchObject({ received: 0n, balanced: true });
    expect((await ledger({}, { workspace: "other" })).total).toMatchObject({ received: 0n });
  });

  it("says what waits at the gateway, outside of the sums, as the gateway tells it", async () => {
    const options = { ...bench.by(), headers: { "waymark-waiting": "3" } };
    expect(await bench.ledger.getLedger({}, options)).toMatchObject({ waiting: 3n, total: { received: 0n } });
    expect((await ledger()).waiting).toBeUndefined();
  });

  it("shows hours of arrival page by page, from seven days ago unless asked for others", async () => {
    const start = bench.clock.now;
    for (const hours of [-8 * 24, -3, -2, 0]) {
      bench.clock.now = start + hours * 3_600_000;
      await create([{ qprCodeId: "qpr_1" }]);
    }
    await bench.idle();
    const hoursOf = (reply: Awaited<ReturnType<typeof ledger>>) => reply.hours.map(({ hour }) => hour.slice(8, 13));
    const first = await ledger({ pageSize: 2 });
    expect(hoursOf(first)).toEqual(["20T12", "20T13"]);
    expect(first.total).toMatchObject({ received: 3n, counted: 3n });
    const second = await ledger({ pageSize: 2, pageToken: first.nextPageToken });
    expect(hoursOf(second)).toEqual(["20T15"]);
    expect(second.nextPageToken).toBe("");
    expect(hoursOf(await ledger({ from: at("2026-03-20T12:59:00Z"), to: at("2026-03-20T13:00:00Z") }))).toEqual([
      "20T12",
    ]);
    expect((await ledger({ from: at("2026-03-01T00:00:00Z") })).total).toMatchObject({ received: 4n });
    expect(await codeOf(ledger({ pageToken: "what" }))).toEqual([
      Code.InvalidArgument,
      "page_token must be the nextPageToken of a page before",
    ]);
    expect(await codeOf(ledger({ from: at("2026-03-20T13:00:00Z"), to: at("2026-03-20T13:00:00Z") }))).toEqual([
      Code.InvalidArgument,
      "from must be before to",
    ]);
  });
});
