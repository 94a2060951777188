import { GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { count32 } from "../rules.ts";
import type { Asked } from "./asked.ts";
import { readMembers } from "./members.ts";

/** Events by hour of the day in the time zone, as its clocks stood at each event; all 24 are there. */
export async function readHours(asked: Asked) {
  const wanted = { dimension: GroupByDimension.HOUR_OF_DAY, limit: 24, isEventsOnly: true };
  const { members, total } = await readMembers(asked, wanted);
  const byHour = new Map(members.map(({ code, events }) => [Number(code), events]));
  const data = Array.from({ length: 24 }, (_, hour) => ({ hour, eventCount: count32(byHour.get(hour) ?? 0) }));
  return { data, totalEvents: count32(total) };
}
