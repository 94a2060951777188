import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TouchesRevisedSchema, type TouchRevisionSchema } from "#gen/waymark/events/v1/corrections_pb.ts";
import { DeviceType, Purpose, type Touch, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import type { RegisteredTouch, TouchCursor } from "#gen/waymark/scans/v1/registry_pb.ts";
import { type Bench, openBench } from "./test-bench.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());

const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";

async function listAll(limit: number): Promise<RegisteredTouch[]> {
  const all: RegisteredTouch[] = [];
  let after: TouchCursor | undefined;
  do {
    const page = await bench.registry.listTouches({ after, limit }, bench.by({ keyClass: "internal" }));
    all.push(...page.touches);
    after = page.next;
  } while (after !== undefined);
  return all;
}

/** A touch without what nobody tells of a marketing touch, and with empty messages for absent ones. */
function plain(touch: Touch | undefined) {
  if (touch === undefined) throw new Error("a touch is missing");
  const { place, device, campaign, ...rest } = touch;
  const placed = { country: "", region: "", city: "", timezone: "", isp: "", asn: 0, ...place };
  const sent = { source: "", medium: "", name: "", ...campaign };
  return { ...rest, place: { ...placed, $typeName: "" }, campaign: { ...sent, $typeName: "" }, device };
}

it("tells every marketing touch as it stands on the log, whatever the size of a page", async () => {
  const touch = (given: object) => ({ purpose: Purpose.MARKETING, codeId: "qpr_1", ...given });
  const seen = {
    headers: { "accept-language": "de-DE", referer: "https://example.com/a" },
    query: "utm_source=poster",
  };
  await bench.intake.recordTouches(
    {
      touches: [
        touch({ id: "a", ip: "203.0.113.9", userAgent: IPHONE, method: "GET", destination: "https://x.test", ...seen }),
        touch({ id: "b", userAgent: "Googlebot/2.1", method: "GET", rule: "one" }),
        touch({ id: "c", place: { country: "DE", isp: "Telekom", asn: 3320 }, conversationMessages: 2 }),
        touch({ id: "d" }),
      ],
    },
    bench.by({ keyClass: "internal" }),
  );
  await bench.intake.recordTouches({ touches: [touch({ id: "t" })] }, bench.by({ keyClass: "internal", test: true }));
  await bench.idle();
  const written = new Map((await bench.touches()).map((one) => [one.id, plain(one)]));
  for (const limit of [1, 2, 100]) {
    const told = await listAll(limit);
    expect(told.map(({ touch: one }) => one?.id).sort()).toEqual(["a", "b", "c", "d", "t"]);
    for (const one of told) {
      expect(plain(one.touch)).toEqual(written.get(one.touch?.id ?? ""));
      expect(Number(one.position)).toBeGreaterThan(0);
      expect(one.recordedAt && timestampMs(one.recordedAt)).toBe(bench.clock.now);
    }
  }
});

/** Appends a revision of touches of one code; its position. */
async function revise(revisions: MessageInitShape<typeof TouchRevisionSchema>[]): Promise<number> {
  const message = create(TouchesRevisedSchema, {
    ...{ workspaceId: "default", rules: "2", revisedAt: timestampFromMs(bench.clock.now + 5), revisions },
  });
  const record = {
    subject: "touches.revised",
    key: "qpr_1",
    payload: toBinary(TouchesRevisedSchema, message),
  } as const;
  return bench.log.append([record], `revise_${Math.random()}`);
}

it("tells touches as they are judged now, and shows them so before and after that is counted", async () => {
  const touch = { purpose: Purpose.MARKETING, codeId: "qpr_1", method: "GET", userAgent: IPHONE };
  const touches = ["r1", "r2"].map((id) => ({ ...touch, id }));
  await bench.intake.recordTouches({ touches }, bench.by({ keyClass: "internal" }));
  await bench.idle();
  await bench.pause();
  const device = { type: DeviceType.DESKTOP, browser: "Chrome" };
  const position = await revise([
    { touchId: "r1", codeId: "qpr_1", verdict: Verdict.BOT, verdictReason: "rate", actor: "Crawler" },
    { touchId: "r2", codeId: "qpr_1", device },
  ]);
  const filtered = async () => (await bench.scans.getScan({ scanId: "r1" }, bench.by())).scan?.filtered;
  expect(await filtered()).toBe("rate");
  bench.resume();
  await bench.idle();
  expect(await filtered()).toBe("rate");
  const told = new Map((await listAll(10)).map((one) => [one.touch?.id, one]));
  const common = { changed: BigInt(position), rules: "2", revisedAt: timestampFromMs(bench.clock.now + 5) };
  expect(told.get("r1")).toMatchObject({ ...common, touch: { verdict: Verdict.BOT, verdictReason: "rate" } });
  expect(told.get("r1")?.touch?.device).toMatchObject({ actor: "Crawler", browser: "Safari" });
  expect(told.get("r2")).toMatchObject({ ...common, touch: { verdict: Verdict.HUMAN, verdictReason: "", device } });
  expect(told.get("a")).toMatchObject({ rules: "", changed: told.get("a")?.position });
});

it.each([
  ["a person's phone", { userAgent: IPHONE, method: "GET", reason: "isbot" }, Verdict.HUMAN, "", DeviceType.MOBILE],
  ["a program", { userAgent: "Googlebot/2.1", method: "GET", reason: "" }, Verdict.BOT, "isbot", 0],
  ["a HEAD", { userAgent: IPHONE, method: "HEAD", reason: "" }, Verdict.BOT, "head", DeviceType.MOBILE],
  ["a HEAD whose method is not kept", { userAgent: "", method: "", reason: "head" }, Verdict.BOT, "head", undefined],
  ["a prefetch, told by a header", { userAgent: IPHONE, reason: "prefetch" }, Verdict.BOT, "prefetch", 1],
  ["nothing that is kept", { userAgent: "", method: "GET", reason: "isbot" }, Verdict.UNSPECIFIED, "", undefined],
] as const)("judges %s again", async (_name, kept, verdict, reason, type) => {
  const { judgements, rules } = await bench.registry.judgeTouches({ touches: [kept] }, bench.by());
  expect(rules).toBe("1");
  expect([judgements[0]?.verdict, judgements[0]?.reason, judgements[0]?.device?.type]).toEqual([verdict, reason, type]);
});

it("judges no more than a thousand at once", async () => {
  const touches = Array.from({ length: 1_001 }, () => ({ userAgent: IPHONE }));
  await expect(bench.registry.judgeTouches({ touches }, bench.by())).rejects.toThrow("at most 1000");
});

it("tells which devices a touch was of, and until where", async () => {
  const touch = { purpose: Purpose.MARKETING, codeId: "qpr_1", deviceId: "own", id: "moved" };
  await bench.intake.recordTouches({ touches: [touch] }, bench.by({ keyClass: "internal" }));
  await bench.idle();
  const told = async () => (await listAll(10)).find((one) => one.touch?.id === "moved");
  const first = (await told())?.touch?.deviceId;
  const revisions = ["other", "other", ""].map((deviceId) => ({ touchId: "moved", codeId: "qpr_1", deviceId }));
  const positions: number[] = [];
  for (const revision of revisions) positions.push(await revise([revision]));
  await bench.idle();
  const after = await told();
  expect(after?.touch).toMatchObject({ deviceId: "", verdict: Verdict.HUMAN });
  expect(after?.formerDevices.map(({ deviceId, until }) => [deviceId, Number(until)])).toEqual([
    [first, positions[0]],
    ["other", positions[2]],
  ]);
});

it("decides devices again with the key of the workspace, by the days of their touches", async () => {
  const day = Math.floor(bench.clock.now / 86_400_000);
  const arrival = { purpose: Purpose.MARKETING, codeId: "qpr_1", ip: "203.0.113.77", userAgent: IPHONE };
  const by = bench.by({ keyClass: "internal" });
  await bench.intake.recordTouches({ touches: [{ ...arrival, id: "made" }] }, by);
  const deviceId = (await bench.touches()).find(({ id }) => id === "made")?.deviceId ?? "";
  const kept = { deviceId, ip: arrival.ip, userAgent: IPHONE, day };
  const decide = async (rules: object, caller = by) =>
    (await bench.registry.decideDevices({ touches: [kept], ...rules }, caller)).devices[0];
  const plain = await decide({ ignoreVersions: true });
  expect(plain).toMatchObject({ withoutVersions: true, otherPeriod: false, unknown: false });
  expect(plain?.deviceId).not.toBe(deviceId);
  const elsewhere = await decide({ ignoreVersions: true }, bench.by({ keyClass: "internal", workspace: "other" }));
  expect(elsewhere).toMatchObject({ deviceId, unknown: true });
  const touches = Array.from({ length: 1_001 }, () => kept);
  await expect(bench.registry.decideDevices({ touches }, by)).rejects.toThrow("at most 1000");
});
