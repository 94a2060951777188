import type { Asking } from "../asking.ts";
import { count32 } from "../rules.ts";
import { percentOf, plus } from "./range.ts";

const OWN = "workspace = $workspace AND test = $test";

/** Links with most events. */
export async function readTopLinks(asking: Asking, limit: number) {
  const { duck, scope, signal } = asking;
  const sql = `WITH top AS (SELECT link_id, sum(n)::BIGINT AS n, count(visitor_key) AS uniques FROM (
        SELECT link_id, visitor_key, count(*) AS n FROM touches WHERE ${scope.sql} GROUP BY 1, 2) GROUP BY 1)
    SELECT top.*, l.name, l.short_id, (SELECT sum(n)::BIGINT FROM top) AS total
    FROM top LEFT JOIN (SELECT link_id, name, short_id FROM links WHERE ${OWN}) l USING (link_id)
    ORDER BY n DESC, link_id LIMIT $limit`;
  const rows = await duck.rows(sql, plus(asking, { limit: BigInt(limit) }), signal);
  const data = rows.map((row) => ({
    name: String(row.name || row.link_id),
    shortlink: String(row.short_id ?? ""),
    eventCount: count32(Number(row.n)),
    linkId: String(row.link_id),
    uniqueVisitors: count32(Number(row.uniques)),
  }));
  return { data, totalEvents: count32(Number(rows[0]?.total ?? 0)) };
}

/** Events by tag. `seen`: the condition of all that the caller sees, for who is new in the workspace. */
export async function readCampaigns(asking: Asking, { limit, seen }: { limit: number; seen: string }) {
  const { duck, scope, signal } = asking;
  const sql = `WITH tagged AS (SELECT link_id, unnest(CASE WHEN len(tags) > 0 THEN tags ELSE [''] END) AS tag FROM links
      WHERE ${OWN}),
    scoped AS MATERIALIZED (SELECT link_id, visitor_key, count(*) AS n, count(*) FILTER (talked) AS talks,
      sum(messages)::BIGINT AS words, min(scanned_at) AS first_at FROM touches WHERE ${scope.sql} GROUP BY 1, 2),
    firsts AS (SELECT visitor_key, min(scanned_at) AS first_at FROM touches WHERE ${seen}
      AND visitor_key IN (SELECT visitor_key FROM scoped) GROUP BY 1)
    SELECT coalesce(tag, '') AS tag, count(DISTINCT s.link_id) AS links, sum(s.n)::BIGINT AS n,
      count(DISTINCT s.visitor_key) AS uniques, count(DISTINCT s.visitor_key) FILTER (s.first_at = f.first_at) AS fresh,
      sum(s.talks)::BIGINT AS talks, sum(s.words)::BIGINT AS words, (SELECT sum(n)::BIGINT FROM scoped) AS total
    FROM scoped s LEFT JOIN tagged USING (link_id) LEFT JOIN firsts f USING (visitor_key)
    GROUP BY 1 ORDER BY n DESC, 1 LIMIT $limit`;
  const rows = await duck.rows(sql, plus(asking, { limit: BigInt(limit) }), signal);
  const total = Number(rows[0]?.total ?? 0);
  const campaigns = rows.map((row) => ({
    tag: String(row.tag),
    links: count32(Number(row.links)),
    eventCount: count32(Number(row.n)),
    uniqueVisitors: count32(Number(row.uniques)),
    newVisitors: count32(Number(row.fresh)),
    conversations: count32(Number(row.talks)),
    messages: BigInt(Number(row.words ?? 0)),
    percentage: percentOf(Number(row.n), total),
  }));
  return { campaigns, totalEvents: count32(total) };
}
