import { percentOf } from "#runtime/percent.ts";
import type { Row } from "../engine/query.ts";
import { IDENTIFIED } from "../fields/levels.ts";
import { count32 } from "../rules.ts";
import type { Asked } from "./asked.ts";
import { plus } from "./range.ts";

/** Events by the tags that links have now, the largest first, ties by tag. A link with several is in each. */
export async function readCampaigns(asked: Asked, limit: number) {
  const { duck, scope, seen, signal } = asked;
  const sql = `WITH tagged AS (SELECT link_id, unnest(list_distinct(tags)) AS tag FROM links
      WHERE workspace = $workspace AND test = $test),
    scoped AS MATERIALIZED (SELECT link_id, visitor_key, count(*) AS n, count(*) FILTER (talked) AS talks,
      coalesce(sum(messages) FILTER (talked), 0)::BIGINT AS words, min(scanned_at) AS first_at FROM touches
      WHERE ${scope.sql} GROUP BY 1, 2),
    firsts AS (SELECT visitor_key, min(scanned_at) AS first_at, ${IDENTIFIED} AS known FROM touches WHERE ${seen.sql}
      AND visitor_key IN (SELECT visitor_key FROM scoped) GROUP BY 1),
    marked AS (SELECT s.*, s.first_at = f.first_at AS is_new, s.talks > 0 OR f.known AS is_lead
      FROM scoped s LEFT JOIN firsts f USING (visitor_key))
    SELECT coalesce(tag, '') AS tag, count(DISTINCT link_id) AS links, sum(n)::BIGINT AS n,
      count(DISTINCT visitor_key) AS visitors, count(DISTINCT visitor_key) FILTER (is_new) AS fresh,
      count(DISTINCT visitor_key) FILTER (is_lead) AS leads, sum(talks)::BIGINT AS talks, sum(words)::BIGINT AS words,
      (SELECT sum(n)::BIGINT FROM scoped) AS total, (SELECT count(DISTINCT visitor_key) FROM scoped) AS people
    FROM marked LEFT JOIN tagged USING (link_id) GROUP BY 1 ORDER BY n DESC, 1 LIMIT $limit`;
  const rows = await duck.rows(sql, plus(asked, { limit: BigInt(limit) }), signal);
  const [first] = rows;
  const total = Number(first?.total ?? 0);
  return {
    data: rows.map((row) => campaignOf(row, total)),
    total: count32(total),
    totalVisitors: count32(Number(first?.people ?? 0)),
  };
}

function campaignOf(row: Row, total: number) {
  const of = (name: string) => count32(Number(row[name]));
  const [tag, visitors, leads] = [String(row.tag), of("visitors"), of("leads")];
  return {
    tag,
    label: tag || "Untagged",
    links: of("links"),
    eventCount: of("n"),
    visitors,
    newVisitors: of("fresh"),
    returningVisitors: visitors - of("fresh"),
    leads,
    conversionRate: visitors === 0 ? undefined : percentOf(leads, visitors),
    conversations: of("talks"),
    messages: BigInt(Number(row.words)),
    percentage: percentOf(Number(row.n), total),
  };
}
