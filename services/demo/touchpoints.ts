import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TouchpointService } from "#gen/waymark/touchpoints/v1/touchpoints_pb.ts";
import { random, times } from "./history.ts";
import { once, type Seeding } from "./seed.ts";

const EXPERIENCE = "experience-demo";

/** The touchpoints of the Touchpoints API's page, with its visits and some days of an event. */
export async function seedTouchpoints({ client, caller, now }: Seeding): Promise<void> {
  const touchpoints = client(TouchpointService);
  await once(
    touchpoints.createExperience({ id: EXPERIENCE, name: "Demo Experience", value: "experience-2024" }, caller),
  );
  const entry = { id: "tp-1", experienceId: EXPERIENCE, name: "Entry Scan", value: "entry_scan" };
  const exit = { id: "tp-2", experienceId: EXPERIENCE, name: "Exit Scan", value: "exit_scan" };
  await once(touchpoints.createTouchpoint(entry, caller));
  await once(touchpoints.createTouchpoint(exit, caller));
  const next = random(3_000);
  const scans = times(next, { now, days: 14, perDay: 20 }).map((at, number) => ({
    id: `visit_demo_${number}`,
    touchpointId: next() < 0.6 ? entry.id : exit.id,
    userId: `user-${1 + Math.floor(next() * 60)}`,
    timestampUtc: timestampFromMs(at),
  }));
  await touchpoints.recordTouchpointScans({ scans }, caller);
}
