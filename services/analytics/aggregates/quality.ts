import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { LedgerService } from "#gen/waymark/scans/v1/ledger_pb.ts";
import { contextOf } from "#runtime/context.ts";
import { as, internalContext } from "#runtime/internal.ts";
import { percentOf } from "#runtime/percent.ts";
import type { AnalyticsDeps } from "../asking.ts";
import type { Row } from "../engine/query.ts";
import { DESTINATION } from "../fields/destination.ts";
import { count32 } from "../rules.ts";
import { lastMs, withPrograms } from "../scope.ts";
import type { Asked } from "./asked.ts";
import { plus } from "./range.ts";

const OUTCOME = `CASE WHEN NOT human THEN 'filtered' WHEN destination IS NOT NULL THEN 'redirected'
  WHEN method IS NULL THEN 'recorded' ELSE 'failed' END`;

/**
 * Older touches do not say why a page was shown. How the code stands now is how it stood then only when it has not been changed
 * since; a deleted one has, for its scans are refused.
 */
const WHY = `CASE WHEN NOT human THEN coalesce(reason, 'other') WHEN destination IS NOT NULL OR method IS NULL THEN ''
  WHEN failure IS NOT NULL THEN failure
  WHEN l.changed IS NULL OR position <= l.changed OR l.status = 'deleted' THEN 'unknown' WHEN l.status <> 'active' THEN l.status
  ELSE 'no_destination' END`;

const ROUTES = 100;

/** What became of scans, people's and programs', in all and by link, and where people were sent. */
export async function readQuality(asked: Asked, limit: number) {
  const { duck, scope, signal } = asked;
  const all = withPrograms(scope.sql);
  const sql = `WITH r AS MATERIALIZED (SELECT link_id, any_value(l.name) AS name, any_value(l.status) AS status,
      ${OUTCOME} AS outcome, ${WHY} AS why, count(*) AS n
      FROM (SELECT link_id, human, destination, method, reason, position, failure FROM events WHERE ${all})
      LEFT JOIN (SELECT link_id, name, status, changed FROM links WHERE workspace = $workspace AND test = $test) l
      USING (link_id) GROUP BY link_id, outcome, why),
    top AS (SELECT link_id FROM r GROUP BY 1 ORDER BY sum(n) DESC, link_id LIMIT $limit)
    SELECT NULL AS link_id, NULL AS name, NULL AS status, outcome, why, sum(n)::BIGINT AS n FROM r GROUP BY outcome, why
    UNION ALL SELECT link_id, name, status, outcome, why, n FROM r WHERE link_id IN (SELECT link_id FROM top)`;
  const [rows, routes, times] = await Promise.all([
    duck.rows(sql, plus(asked, { limit: BigInt(limit) }), signal),
    readRoutes(asked),
    readTimes(asked),
  ]);
  const quality = { ...qualityOf(rows.filter(({ link_id }) => link_id === null)), ...times.get(undefined) };
  const byLink = Map.groupBy(
    rows.filter(({ link_id }) => link_id !== null),
    ({ link_id }) => String(link_id),
  );
  const data = [...byLink].map(([linkId, some]) => ({
    linkId,
    name: String(some[0]?.name ?? ""),
    status: String(some[0]?.status ?? ""),
    quality: { ...qualityOf(some), ...times.get(linkId) },
  }));
  data.sort((a, b) => b.quality.scans - a.quality.scans || (a.linkId < b.linkId ? -1 : 1));
  return { data, total: quality.scans, all: quality, routes };
}

/** Nearest-rank quantiles of how long redirects of people took, in milliseconds, by link; undefined: of all. */
async function readTimes({ duck, scope, signal }: Asked) {
  const sql = `SELECT link_id, us[1] AS p50, us[2] AS p95 FROM (SELECT link_id, quantile_disc(redirect_us, [0.5, 0.95]) AS us
    FROM events WHERE ${scope.sql} AND destination IS NOT NULL AND redirect_us IS NOT NULL
    GROUP BY GROUPING SETS ((link_id), ())) WHERE us IS NOT NULL`;
  const rows = await duck.rows(sql, scope.params, signal);
  return new Map(
    rows.map(({ link_id, p50, p95 }) => [
      link_id === null ? undefined : String(link_id),
      { p50Ms: Number(p50) / 1_000, p95Ms: Number(p95) / 1_000 },
    ]),
  );
}

async function readRoutes(asked: Asked) {
  const { duck, scope, signal } = asked;
  const sql = `WITH g AS (SELECT coalesce(rule, '') AS rule, coalesce(${DESTINATION}, '') AS place, visitor_key,
      count(*) AS n FROM touches WHERE ${scope.sql} AND (destination IS NOT NULL OR method IS NOT NULL) GROUP BY 1, 2, 3)
    SELECT rule, place, sum(n)::BIGINT AS n, count(visitor_key) AS visitors, (SELECT sum(n)::BIGINT FROM g) AS total FROM g
    GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT ${ROUTES}`;
  return (await duck.rows(sql, scope.params, signal)).map((row) => ({
    rule: String(row.rule),
    destination: String(row.place),
    scans: count32(Number(row.n)),
    percentage: percentOf(Number(row.n), Number(row.total)),
    visitors: count32(Number(row.visitors)),
  }));
}

function qualityOf(rows: readonly Row[]) {
  const numbers = { redirected: 0, recorded: 0, failed: 0, filtered: 0 };
  const reasons: Record<"failed" | "filtered", Record<string, number>> = { failed: {}, filtered: {} };
  for (const { outcome, why, n } of rows) {
    const [kind, count] = [String(outcome) as keyof typeof numbers, Number(n)];
    numbers[kind] += count;
    if (kind === "failed" || kind === "filtered") reasons[kind][String(why)] = count;
  }
  const { redirected, recorded, failed, filtered } = numbers;
  const counted = redirected + recorded + failed;
  return {
    scans: count32(counted + filtered),
    counted: count32(counted),
    redirected: count32(redirected),
    recorded: count32(recorded),
    ...reasons,
    successRate: redirected + failed === 0 ? undefined : percentOf(redirected, redirected + failed),
  };
}

/** Scans of the workspace that were refused, of all products, in the hours of arrival that a range touches. */
export async function readRejected(
  { client }: Pick<AnalyticsDeps, "client">,
  range: { startDate?: Timestamp | undefined; endDate?: Timestamp | undefined },
  handler: HandlerContext,
) {
  const { principal } = contextOf(handler);
  const own = internalContext(principal.workspace);
  const options = as({ ...own, principal: { ...own.principal, test: principal.test } });
  const to = range.endDate && timestampFromMs(Number(lastMs(range.endDate)) + 1);
  const request = { from: range.startDate ?? timestampFromMs(0), to, pageSize: 1 };
  const { total } = await client(LedgerService).getLedger(request, { ...options, signal: handler.signal });
  const reasons = Object.entries(total?.rejectedBy ?? {}).map(([reason, n]) => [reason, count32(Number(n))]);
  return {
    total: count32(Number(total?.rejected ?? 0n)),
    reasons: Object.fromEntries(reasons) as Record<string, number>,
  };
}
