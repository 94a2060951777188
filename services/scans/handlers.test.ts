import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Purpose, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { ScanDevice } from "#gen/waymark/scans/v1/scans_pb.ts";
import { type Bench, openBench } from "./test-bench.ts";

const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
const GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(async () => {
  expect(bench.alarms).toEqual([]);
  await bench.close();
});

const at = (text: string) => timestampFromMs(Date.parse(text));
const refusal = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConnectError);
  const { code, rawMessage } = error as ConnectError;
  return { code, message: rawMessage };
};

describe("CreateScans", () => {
  it("takes good items and lists the wrong ones, each with its reason and field", async () => {
    const reply = await bench.scans.createScans(
      {
        scans: [
          { id: "a", qprCodeId: "qpr_1" },
          { id: "spaces are wrong", qprCodeId: "qpr_1" },
          { qprCodeId: "qpr_unknown" },
          { shortId: "k2x9aa" },
          { shortId: "nosuch" },
          {},
          { qprCodeId: "qpr_1", scannedAt: at("2026-03-20T15:40:01Z") },
          { qprCodeId: "qpr_1", scannedAt: at("2026-03-20T15:40:00Z") },
          { qprCodeId: "qpr_1", scannedAt: at("1999-12-31T23:59:59Z") },
          { qprCodeId: "qpr_1", ip: "300.1.1.1" },
          { qprCodeId: "qpr_1", conversationMessages: -1 },
          { qprCodeId: "qpr_1", country: "USA" },
          { qprCodeId: "qpr_1", metadata: { long: "x".repeat(16_384) } },
          { qprCodeId: "poster_1" },
        ],
        faults: [{ index: 3, field: "scanned_at", message: "scanned_at must be an ISO 8601 time with zone" }],
      },
      bench.by(),
    );
    expect(reply.accepted).toBe(2);
    expect(reply.rejected.map(({ index, code, message }) => [index, code, message])).toEqual([
      [1, "INVALID_FIELD", "id must match ^[A-Za-z0-9_.:-]{1,64}$"],
      [2, "CODE_NOT_FOUND", "qpr_code_id: QPR code qpr_unknown does not exist"],
      [3, "INVALID_FIELD", "scanned_at must be an ISO 8601 time with zone"],
      [4, "CODE_NOT_FOUND", "short_id: QPR code nosuch does not exist"],
      [5, "INVALID_FIELD", "qpr_code_id is required, or short_id in its place"],
      [6, "INVALID_FIELD", "scanned_at must not be more than 10 minutes ahead"],
      [8, "INVALID_FIELD", "scanned_at must not be before the year 2000"],
      [9, "INVALID_FIELD", "ip must be an IPv4 or IPv6 address"],
      [10, "INVALID_FIELD", "conversation_messages must be from 0 to 1000000"],
      [11, "INVALID_FIELD", "country must match ^([A-Za-z]{2})?$"],
      [12, "INVALID_FIELD", "metadata must have at most 16384 characters as JSON"],
      [13, "CODE_NOT_FOUND", "qpr_code_id: QPR code poster_1 does not exist"],
    ]);
  });

  it("refuses an empty batch and more than 1000 items, but not as lines", async () => {
    const scans = Array.from({ length: 1001 }, () => ({ qprCodeId: "qpr_1" }));
    expect(await refusal(bench.scans.createScans({ scans: [] }, bench.by()))).toMatchObject({
      code: Code.InvalidArgument,
    });
    expect(await refusal(bench.scans.createScans({ scans }, bench.by()))).toEqual({
      code: Code.InvalidArgument,
      message: "scans must have at most 1000 items; send more as NDJSON",
    });
    const more = [...Array.from({ length: 2001 }, () => ({ qprCodeId: "qpr_1" })), { qprCodeId: "nope" }];
    const reply = await bench.scans.createScans({ scans: more, fromLines: true }, bench.by());
    expect(reply.accepted).toBe(2001);
    expect(reply.rejected.map(({ index }) => index)).toEqual([2001]);
  });

  it("counts the same ids once, however often they are sent", async () => {
    const scans = [1, 2, 3, 3].map((n) => ({ id: `s${n}`, qprCodeId: "qpr_1" }));
    for (const round of [1, 2, 3]) {
      expect(await bench.scans.createScans({ scans }, bench.by())).toMatchObject({ accepted: 4, rejected: [] });
      if (round === 2) await bench.idle();
    }
    await bench.idle();
    expect(await bench.scans.listScans({}, bench.by())).toMatchObject({ total: 3n });
    const { total } = await bench.ledger.getLedger({}, bench.by());
    expect(total).toMatchObject({
      received: 12n,
      accepted: 12n,
      counted: 3n,
      duplicate: 9n,
      pending: 0n,
      balanced: true,
    });
  });

  it("makes a touch of what the client said and what can be told from it", async () => {
    const metadata = { place: "lobby", visit: 3 };
    const given = { country: "de", region: "BE", city: "Berlin", device: ScanDevice.TABLET, deviceId: "device-7" };
    await bench.scans.createScans(
      {
        scans: [
          { id: "told", qprCodeId: "qpr_1", ip: "8.8.8.8", userAgent: IPHONE, metadata },
          { id: "given", shortId: "k2x9aa", ip: "8.8.8.8", ...given, conversationMessages: 2 },
          { id: "bot", qprCodeId: "qpr_1", userAgent: GOOGLEBOT },
          { id: "bare", qprCodeId: "qpr_2", scannedAt: at("2026-03-01T10:00:00.250Z") },
        ],
      },
      bench.by(),
    );
    const touches = new Map((await bench.touches()).map((touch) => [touch.id, touch]));
    expect(touches.get("told")).toMatchObject({
      workspaceId: "default",
      purpose: Purpose.MARKETING,
      codeId: "qpr_1",
      shortId: "hc9m3r",
      scannedAt: timestampFromMs(bench.clock.now),
      verdict: Verdict.HUMAN,
      place: { country: "US", region: "CA", city: "Mountain View" },
      device: { type: 1, browser: "Safari", browserVersion: "17.4", platform: "iOS", brand: "Apple" },
      ip: "8.8.8.0",
      userAgent: IPHONE,
      metadata: { campaign: "spring", place: "lobby", visit: 3 },
      test: false,
    });
    expect(touches.get("given")).toMatchObject({
      codeId: "qpr_2",
      place: { country: "DE", region: "BE", city: "Berlin" },
      device: { type: 2 },
      conversationStarted: true,
      conversationMessages: 2,
    });
    expect(touches.get("given")?.deviceId).toMatch(/^[\w-]{22}$/);
    expect(touches.get("bot")).toMatchObject({
      verdict: Verdict.BOT,
      verdictReason: "isbot",
      device: { actor: "Googlebot" },
    });
    expect(touches.get("bare")).toMatchObject({ verdict: Verdict.HUMAN, deviceId: "", ip: "", userAgent: "" });
    expect(touches.get("bare")?.scannedAt).toEqual(at("2026-03-01T10:00:00.250Z"));
  });

  it("asks for codes and settings once, and again when the log says that they changed", async () => {
    const scan = () => bench.scans.createScans({ scans: [{ qprCodeId: "qpr_1" }] }, bench.by());
    await scan();
    await scan();
    expect(bench.knows.asked).toEqual({ targets: 1, settings: 1 });
    bench.knows.targets.delete("qpr_1");
    await bench.change("codes.changed", { objectId: "qpr_1", aliases: ["hc9m3r"] });
    await bench.change("workspaces.changed", { objectId: "default" });
    await vi.waitFor(async () => expect((await scan()).rejected).toHaveLength(1));
    expect(bench.knows.asked.targets).toBe(2);
    await vi.waitFor(async () => {
      await scan();
      expect(bench.knows.asked.settings).toBe(2);
    });
  });
});

describe("RecordTouches", () => {
  it("takes touches of every purpose, and gives each an id", async () => {
    const base = { codeId: "tag_1", userAgent: IPHONE };
    const touches = [
      { ...base, purpose: Purpose.MEDICAL },
      { ...base, purpose: Purpose.AMBASSADOR, id: "imp_9", parentId: "prog_1", ownerId: "user_1" },
      { codeId: "", shortId: "hc9m3r", purpose: Purpose.MARKETING, method: "HEAD" },
      { ...base, purpose: Purpose.UNSPECIFIED },
    ];
    const reply = await bench.intake.recordTouches({ touches }, bench.by());
    expect(reply.accepted).toBe(3);
    expect(reply.ids).toEqual([expect.stringMatching(/^look_/), "imp_9", expect.stringMatching(/^scan_/), ""]);
    expect(reply.rejected).toMatchObject([{ index: 3, code: "INVALID_FIELD", message: "purpose is required" }]);
    const [redirect] = (await bench.touches()).filter(({ purpose }) => purpose === Purpose.MARKETING);
    expect(redirect).toMatchObject({ verdictReason: "head", codeId: "qpr_1", shortId: "hc9m3r" });
  });

  it("counts an id once over all purposes, whether its first touch is in the documents or on the way", async () => {
    const touch = (purpose: Purpose) => ({ touches: [{ id: "x", purpose, codeId: "qpr_1" }] });
    await bench.pause();
    await bench.intake.recordTouches(touch(Purpose.MARKETING), bench.by());
    expect(await bench.intake.recordTouches(touch(Purpose.MEDICAL), bench.by())).toMatchObject({
      accepted: 1,
      ids: ["x"],
    });
    bench.resume();
    await bench.idle();
    await bench.intake.recordTouches(touch(Purpose.AMBASSADOR), bench.by());
    await bench.idle();
    expect((await bench.touches()).map(({ purpose }) => purpose)).toEqual([Purpose.MARKETING]);
    const { total } = await bench.ledger.getLedger({}, bench.by());
    expect(total).toMatchObject({ accepted: 3n, counted: 1n, duplicate: 2n, balanced: true });
  });

  it("keeps the purposes apart: medical touches are neither listed nor found nor in a marketing code's numbers", async () => {
    await bench.intake.recordTouches({ touches: [{ id: "m", purpose: Purpose.MEDICAL, codeId: "qpr_1" }] }, bench.by());
    expect(await bench.scans.listScans({ includeBots: true }, bench.by())).toMatchObject({ total: 0n, scans: [] });
    expect(await refusal(bench.scans.getScan({ scanId: "m" }, bench.by()))).toMatchObject({ code: Code.NotFound });
    expect(await bench.scans.getCodeAnalytics({ qprCodeId: "qpr_1" }, bench.by())).toMatchObject({ scansTotal: 0n });
    expect(await bench.intake.countScans({ codeIds: ["qpr_1", "none"] }, bench.by())).toMatchObject({
      totals: [1n, 0n],
    });
  });
});

describe("conversations", () => {
  it("answer with the scan as it will be, also before it is counted, and never go down", async () => {
    await bench.pause();
    await bench.scans.createScans({ scans: [{ id: "s", qprCodeId: "qpr_1", userAgent: IPHONE }] }, bench.by());
    const talk = (messages?: number) => bench.scans.recordConversation({ scanId: "s", messages }, bench.by());
    expect((await talk()).scan).toMatchObject({ conversationStarted: true, conversationMessages: 0 });
    expect((await talk(6)).scan).toMatchObject({ conversationMessages: 6, device: ScanDevice.MOBILE });
    expect((await talk(4)).scan).toMatchObject({ conversationMessages: 6 });
    bench.resume();
    await bench.idle();
    expect((await talk(5)).scan).toMatchObject({ conversationMessages: 6 });
    expect((await bench.scans.getScan({ scanId: "s" }, bench.by())).scan).toMatchObject({ conversationMessages: 6 });
    const numbers = await bench.scans.getCodeAnalytics({ qprCodeId: "qpr_1" }, bench.by());
    expect(numbers).toMatchObject({ scansTotal: 1n, conversationRate: 1, avgMessagesPerConversation: 6 });
  });

  it("need a scan of the caller's workspace", async () => {
    await bench.scans.createScans({ scans: [{ id: "s", qprCodeId: "qpr_1" }] }, bench.by());
    const call = bench.scans.recordConversation({ scanId: "s", messages: 1 }, bench.by({ workspace: "other" }));
    expect(await refusal(call)).toEqual({ code: Code.NotFound, message: "scan s does not exist" });
  });
});
