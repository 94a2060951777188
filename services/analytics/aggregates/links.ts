import { GroupByDimension } from "#gen/waymark/analytics/v1/aggregates_pb.ts";
import { count32 } from "../rules.ts";
import type { Asked } from "./asked.ts";
import { readMembers } from "./members.ts";
import { plus } from "./range.ts";

/** Links with most events, ties by id. */
export async function readTopLinks(asked: Asked, limit: number) {
  const { duck, signal } = asked;
  const { members, total } = await readMembers(asked, { dimension: GroupByDimension.LINK, limit });
  const ids = members.map(({ code }) => code);
  const sql = `SELECT link_id, short_id FROM links WHERE workspace = $workspace AND test = $test
    AND list_contains($ids, link_id)`;
  const shortIds = new Map(
    (await duck.rows(sql, plus(asked, { ids }), signal)).map((row) => [row.link_id, row.short_id]),
  );
  const data = members.map(({ code, label, events, uniques }) => ({
    name: label,
    shortlink: String(shortIds.get(code) ?? ""),
    eventCount: count32(events),
    linkId: code,
    uniqueVisitors: count32(uniques),
  }));
  return { data, totalEvents: count32(total) };
}
