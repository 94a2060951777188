import { timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Purpose, type Touch } from "#gen/waymark/events/v1/touches_pb.ts";
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
