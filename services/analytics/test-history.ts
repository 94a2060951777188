import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { DeviceType, Purpose, type Touch, TouchSchema, Verdict } from "#gen/waymark/events/v1/touches_pb.ts";
import { counted, type Event } from "./test-answers.ts";
import { type AnalyticsGround, NOW } from "./test-ground.ts";

const DAY_MS = 86_400_000;

/** A marketing touch by a person; what is given stands in place of the defaults. */
export function touchOf(given: Omit<MessageInitShape<typeof TouchSchema>, "scannedAt"> & { at?: number }): Touch {
  const { at = NOW - 1_000, ...rest } = given;
  return create(TouchSchema, {
    workspaceId: "acme",
    purpose: Purpose.MARKETING,
    codeId: "link_1",
    verdict: Verdict.HUMAN,
    scannedAt: timestampFromMs(at),
    ...rest,
  } as MessageInitShape<typeof TouchSchema>);
}

/** Touches as they came, in entries of one purpose each; `pause`: the feed may catch up before the next. */
export interface Step {
  touches: Touch[];
  pause: boolean;
}

const words = (...all: string[]) => fc.constantFrom("", ...all);

const place = fc.record({
  country: words("DE", "FR", "US"),
  region: words("BE", "TX"),
  city: words("Berlin", "Paris", "Zürich", "東京", 'Springfield, "the" one'),
  timezone: words("Europe/Berlin"),
  isp: words("Telekom"),
  asn: fc.constantFrom(0, 3320, 4_200_000_000),
});

const device = fc.record({
  type: fc.constantFrom(DeviceType.UNSPECIFIED, DeviceType.MOBILE, DeviceType.TABLET, DeviceType.DESKTOP),
  browser: words("Safari", "=cmd()"),
  browserVersion: words("17.4"),
  platform: words("iOS", "Android"),
  platformVersion: words("17"),
  brand: words("Apple"),
  language: words("en-GB"),
});

/** Few values of each, so that ids, devices, links and times meet again and again. */
function touch(workspaces: readonly string[]): fc.Arbitrary<Touch> {
  const marketing = { arbitrary: fc.constant(Purpose.MARKETING), weight: 6 };
  const others = fc.constantFrom(Purpose.AMBASSADOR, Purpose.LOST_AND_FOUND, Purpose.MEDICAL, Purpose.TOUCHPOINT);
  return fc
    .record({
      id: fc.integer({ min: 1, max: 120 }).map((n) => `scan_${n}`),
      workspaceId: fc.constantFrom(...workspaces),
      purpose: fc.oneof(marketing, { arbitrary: others, weight: 1 }),
      codeId: fc.constantFrom("link_1", "link_2", "link_3"),
      shortId: words("abc"),
      verdict: fc.oneof({ weight: 5, arbitrary: fc.constant(Verdict.HUMAN) }, fc.constant(Verdict.BOT)),
      test: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
      deviceId: words("d1", "d2", "D3", "d4\u0000é", "'; DROP TABLE events; --"),
      at: fc.oneof(
        fc.integer({ min: 0, max: 6 }).map((n) => NOW - n * 3_600_000),
        fc.integer({ min: 0, max: 60 * DAY_MS }).map((ms) => NOW - ms),
      ),
      place: fc.option(place, { nil: undefined }),
      device: fc.option(device, { nil: undefined }),
      ip: words("203.0.113.0"),
      userAgent: words("Mozilla/5.0"),
      destination: words("https://example.com/?a=1,2"),
      rule: words("german"),
      method: words("GET", "HEAD", "POST", "PUT"),
    })
    .map((given) => touchOf(given));
}

/** A history of some workspaces: duplicates within and across entries, late touches, several purposes. */
export function history(workspaces: readonly string[]): fc.Arbitrary<Step[]> {
  const step = fc.record({
    touches: fc.array(touch(workspaces), { minLength: 1, maxLength: 12 }),
    pause: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
  });
  return fc.array(step, { minLength: 1, maxLength: 14 });
}

/** Writes a history to the log: what counts of it. `pausing`: waits for the feed where a step says so. */
export async function write(
  ground: Pick<AnalyticsGround, "append" | "settle">,
  steps: readonly Step[],
  { pausing = false } = {},
): Promise<Event[]> {
  const written: { touches: readonly Touch[]; recordedAt: number }[] = [];
  for (const step of steps) {
    for (const touches of entriesOf(step)) {
      const recordedAt = NOW + written.length;
      await ground.append(touches, recordedAt);
      written.push({ touches, recordedAt });
    }
    if (pausing && step.pause) await ground.settle();
  }
  await ground.settle();
  return counted(written);
}

/** The touches of a step as entries: one purpose each, as intake writes them. */
export function entriesOf({ touches }: Step): Touch[][] {
  return [...Map.groupBy(touches, ({ purpose }) => purpose).values()];
}
