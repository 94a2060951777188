import { percentOf } from "#runtime/percent.ts";
import type { Params, Row } from "../engine/query.ts";
import { DAY_MS } from "../rules.ts";
import { round, type Standing } from "./standing.ts";
import { readStickiness, type Stickiness } from "./stickiness.ts";

/** One point of the curve. */
export interface RetentionPoint {
  offset: number;
  eligible: number;
  visitors: number;
  rate: number;
  rollingVisitors: number;
  rollingRate: number;
}

/** How many visitors had so many events. */
export interface Frequency {
  scans: number;
  orMore: boolean;
  visitors: number;
  percentage: number;
}

/** What is known of coming back. */
export interface Retention {
  curve: RetentionPoint[];
  visitors: number;
  returningVisitors: number;
  returningRate: number;
  scans: number;
  scansPerVisitor: number;
  medianDaysToReturn: number | undefined;
  frequency: Frequency[];
  gaps: { count: number; medianSeconds: number | undefined; p90Seconds: number | undefined };
  stickiness: Stickiness;
}

/** So many events or more are one group. */
const MANY = 20;

/**
 * One statement. `reach` is how many intervals of a member are over, `latest` the last of them in which it came or, where it
 * came later, as if in all. Rows: `all` sums, `reach` and `latest` members by these, `came` members by interval, `often` by
 * number of events, `gap` between events, `back` to the second event.
 */
function statement({ question, calendar }: Standing): string {
  const seen = `${question.scope.sql} AND visitor_key IS NOT NULL AND scanned_at <= $until`;
  return `WITH cells AS MATERIALIZED (SELECT visitor_key, ${calendar.indexSql("scanned_at")} AS idx, count(*) AS n,
      min(scanned_at) AS met_at FROM touches WHERE ${seen} GROUP BY ALL),
    members AS MATERIALIZED (SELECT visitor_key, min(idx) AS first, max(idx) AS final, sum(n) AS n FROM cells
      GROUP BY visitor_key HAVING min(met_at) >= $from),
    hits AS (SELECT visitor_key, scanned_at - lag(scanned_at) OVER w AS gap, row_number() OVER w AS nth FROM touches
      SEMI JOIN members USING (visitor_key) WHERE ${seen}
      WINDOW w AS (PARTITION BY visitor_key ORDER BY scanned_at, position, row_id)),
    gaps AS MATERIALIZED (SELECT gap, nth FROM hits WHERE nth > 1)
    SELECT 'all' AS kind, 0 AS step, count(*) AS n, coalesce(sum(n), 0) AS a, count(*) FILTER (n > 1) AS b FROM members
    UNION ALL SELECT 'reach', least($whole - 1 - first, $periods) AS step, count(*), 0, 0 FROM members
      WHERE first < $whole GROUP BY step
    UNION ALL SELECT 'latest', least(final - first, $whole - 1 - first, $periods) AS step, count(*), 0, 0 FROM members
      WHERE first < $whole GROUP BY step
    UNION ALL SELECT 'came', idx - first AS step, count(*), 0, 0 FROM cells JOIN members USING (visitor_key)
      WHERE idx < $whole AND idx - first <= $periods GROUP BY step
    UNION ALL SELECT 'often', least(n, ${MANY}) AS step, count(*), 0, 0 FROM members GROUP BY step
    UNION ALL SELECT 'gap', 0, count(*), quantile_disc(gap, 0.5), quantile_disc(gap, 0.9) FROM gaps
    UNION ALL SELECT 'back', 0, count(*), quantile_disc(gap, 0.5), 0 FROM gaps WHERE nth = 2`;
}

/** Reads how visitors come back, up to an interval of a number. */
export async function readRetention(standing: Standing, periods: number): Promise<Retention> {
  const { question, calendar, start, end, whole } = standing;
  const params: Params = {
    ...question.scope.params,
    ...calendar.params,
    from: BigInt(start ?? 0),
    until: BigInt(end),
    whole: BigInt(calendar.indexOf(whole + 1)),
    periods: BigInt(periods),
  };
  const rows = await question.duck.rows(statement(standing), params, question.signal);
  const byKind = Map.groupBy(rows, ({ kind }) => String(kind));
  const [all, gap, back] = ["all", "gap", "back"].map((kind) => byKind.get(kind)?.[0]);
  const [visitors, scans, returning] = [Number(all?.n ?? 0), Number(all?.a ?? 0), Number(all?.b ?? 0)];
  return {
    curve: curveOf(byKind),
    visitors,
    returningVisitors: returning,
    returningRate: percentOf(returning, visitors),
    scans,
    scansPerVisitor: visitors === 0 ? 0 : round(scans / visitors),
    medianDaysToReturn: typeof back?.a === "bigint" ? round(Number(back.a) / DAY_MS) : undefined,
    frequency: frequencyOf(byKind.get("often") ?? [], visitors),
    gaps: { count: Number(gap?.n ?? 0), medianSeconds: secondsOf(gap?.a), p90Seconds: secondsOf(gap?.b) },
    stickiness: await readStickiness(standing),
  };
}

function secondsOf(ms: Row[string] | undefined): number | undefined {
  return typeof ms === "bigint" ? Number(ms) / 1_000 : undefined;
}

function curveOf(byKind: ReadonlyMap<string, readonly Row[]>): RetentionPoint[] {
  const counts = (kind: string): Map<number, number> =>
    new Map((byKind.get(kind) ?? []).map(({ step, n }) => [Number(step), Number(n)]));
  const [reach, latest, came] = [counts("reach"), counts("latest"), counts("came")];
  const longest = Math.max(-1, ...reach.keys());
  const curve: RetentionPoint[] = [];
  for (let offset = 0; offset <= longest; offset += 1) {
    const [eligible, rollingVisitors] = [fromOn(reach, offset), fromOn(latest, offset)];
    const visitors = came.get(offset) ?? 0;
    const rates = { rate: percentOf(visitors, eligible), rollingRate: percentOf(rollingVisitors, eligible) };
    curve.push({ offset, eligible, visitors, rollingVisitors, ...rates });
  }
  return curve;
}

/** The sum of all counts from a step on. */
function fromOn(counts: ReadonlyMap<number, number>, first: number): number {
  let sum = 0;
  for (const [step, n] of counts) if (step >= first) sum += n;
  return sum;
}

function frequencyOf(rows: readonly Row[], visitors: number): Frequency[] {
  return rows
    .map(({ step, n }) => ({ scans: Number(step), visitors: Number(n) }))
    .toSorted((one, other) => one.scans - other.scans)
    .map((one) => ({ ...one, orMore: one.scans === MANY, percentage: percentOf(one.visitors, visitors) }));
}
