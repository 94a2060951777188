import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { LedgerService } from "#gen/waymark/scans/v1/ledger_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { as, internalContext } from "#runtime/internal.ts";
import type { AnalyticsDeps, Asking } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { withPrograms } from "../scope.ts";
import { percentOf, plus } from "./range.ts";

const COUNTS = `count(*) AS scans, count(*) FILTER (human) AS counted,
  count(*) FILTER (human AND destination IS NOT NULL) AS redirected,
  count(*) FILTER (human AND destination IS NULL AND method IS NOT NULL) AS pages,
  count(*) FILTER (human AND destination IS NULL AND method IS NULL) AS recorded`;

/** What became of scans, people's and programs', in all and by link, and where people were sent. */
export async function readQuality(asking: Asking, limit: number) {
  const { duck, scope, signal } = asking;
  const all = withPrograms(scope.sql);
  const read = (sql: string, more = {}) => duck.rows(sql, plus(asking, more), signal);
  const [[total = {}], filtered, links, destinations] = await Promise.all([
    read(`SELECT ${COUNTS} FROM events WHERE ${all}`),
    read(
      `SELECT link_id, coalesce(reason, 'other') AS reason, count(*) AS n FROM events WHERE ${all} AND NOT human GROUP BY 1, 2`,
    ),
    read(
      `SELECT g.*, l.name, l.status FROM (SELECT link_id, ${COUNTS} FROM events WHERE ${all} GROUP BY 1) g
        LEFT JOIN (SELECT link_id, name, status FROM links WHERE workspace = $workspace AND test = $test) l USING (link_id)
        ORDER BY scans DESC, link_id LIMIT $limit`,
      { limit: BigInt(limit) },
    ),
    read(`SELECT coalesce(rule, '') AS rule, destination, count(*) AS n FROM events WHERE ${scope.sql}
      AND destination IS NOT NULL GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 100`),
  ]);
  const byLink = Map.groupBy(filtered, (row) => String(row.link_id));
  return {
    total: qualityOf(total, filtered),
    links: links.map((row) => ({
      linkId: String(row.link_id),
      name: String(row.name ?? ""),
      status: String(row.status ?? ""),
      quality: qualityOf(row, byLink.get(String(row.link_id)) ?? []),
    })),
    destinations: destinations.map((row) => ({
      rule: String(row.rule),
      destination: String(row.destination),
      scans: BigInt(Number(row.n)),
    })),
  };
}

function qualityOf(row: Row, filtered: readonly Row[]) {
  const of = (name: string) => Number(row[name] ?? 0);
  const reasons: Record<string, bigint> = {};
  for (const { reason, n } of filtered) reasons[String(reason)] = (reasons[String(reason)] ?? 0n) + BigInt(Number(n));
  const atTheDoor = of("redirected") + of("pages");
  return {
    scans: BigInt(of("scans")),
    counted: BigInt(of("counted")),
    redirected: BigInt(of("redirected")),
    shownPage: BigInt(of("pages")),
    recorded: BigInt(of("recorded")),
    filtered: reasons,
    successRate: atTheDoor === 0 ? undefined : percentOf(of("redirected"), atTheDoor),
  };
}

/** Scans of the workspace that were refused, of all products, in the hours of a range. */
export async function readRejected(
  { client }: Pick<AnalyticsDeps, "client">,
  range: { startDate?: Timestamp | undefined; endDate?: Timestamp | undefined },
  handler: HandlerContext,
): Promise<bigint> {
  const { principal } = contextOf(handler);
  const own = internalContext(principal.workspace);
  const options = as({ ...own, principal: { ...own.principal, test: principal.test } });
  const request = { from: range.startDate ?? timestampFromMs(0), to: range.endDate, pageSize: 1 };
  const { total } = await client(LedgerService).getLedger(request, { ...options, signal: handler.signal });
  return total?.rejected ?? 0n;
}
