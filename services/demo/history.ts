import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { IntakeService, type TouchInputSchema } from "#gen/waymark/scans/v1/intake_pb.ts";
import type { Seeding } from "./seed.ts";

const DAY_MS = 86_400_000;

/** Intake takes so many touches in one call. */
const BATCH = 1_000;

export type TouchInit = Exclude<
  MessageInitShape<typeof TouchInputSchema>,
  { $typeName: "waymark.scans.v1.TouchInput" }
>;

/** Numbers from 0 to 1 that are the same at each run: mulberry32. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One of a list, the earlier ones more often. */
export function pick<T>(list: readonly T[], number: number): T {
  return list[Math.floor(number * number * list.length)] as T;
}

/** Times of a day that people scan at: few by night, most around noon and evening. */
const HOUR_WEIGHTS = [1, 1, 1, 1, 1, 2, 4, 7, 9, 9, 10, 12, 13, 11, 9, 9, 10, 12, 14, 13, 10, 7, 4, 2];
const HOURS = HOUR_WEIGHTS.flatMap((weight, hour) => Array.from({ length: weight }, () => hour));

/** Invented times of touches over the last `days` days before now, more at weekends, in no order. */
export function times(next: () => number, span: { now: number; days: number; perDay: number }): number[] {
  const found: number[] = [];
  const today = Math.floor(span.now / DAY_MS) * DAY_MS;
  for (let day = 0; day < span.days; day += 1) {
    const midnight = today - day * DAY_MS;
    const weekend = [0, 6].includes(new Date(midnight).getUTCDay()) ? 1.4 : 1;
    const count = Math.round(span.perDay * weekend * (0.7 + 0.6 * next()));
    for (let index = 0; index < count; index += 1) {
      const hour = HOURS[Math.floor(next() * HOURS.length)] as number;
      const at = midnight + hour * 3_600_000 + Math.floor(next() * 3_600_000);
      if (at < span.now) found.push(at);
    }
  }
  return found;
}

/** Places of the invented scans, the frequent ones first. */
export const PLACES = [
  { country: "US", region: "CA", city: "San Francisco", timezone: "America/Los_Angeles" },
  { country: "US", region: "NY", city: "New York", timezone: "America/New_York" },
  { country: "GB", region: "England", city: "London", timezone: "Europe/London" },
  { country: "DE", region: "Berlin", city: "Berlin", timezone: "Europe/Berlin" },
  { country: "CA", region: "ON", city: "Toronto", timezone: "America/Toronto" },
  { country: "FR", region: "Île-de-France", city: "Paris", timezone: "Europe/Paris" },
  { country: "JP", region: "Tokyo", city: "Tokyo", timezone: "Asia/Tokyo" },
];

/** User agents of the invented scans, the frequent ones first. */
export const AGENTS = [
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36",
  "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
];

/** The first touches of an invented history carry their time in an id, so that seeding again counts nothing twice. */
export function touchAt(at: number, rest: TouchInit): TouchInit {
  return { ...rest, scannedAt: timestampFromMs(at), metadata: { demo: true } };
}

/** Records touches in batches, as many at once as intake takes. */
export async function record({ client, caller }: Seeding, touches: readonly TouchInit[]): Promise<void> {
  const intake = client(IntakeService);
  const batches: TouchInit[][] = [];
  for (let begin = 0; begin < touches.length; begin += BATCH) batches.push(touches.slice(begin, begin + BATCH));
  await Promise.all(batches.map((batch) => intake.recordTouches({ touches: batch }, caller)));
}
