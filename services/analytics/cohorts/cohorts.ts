import { percentOf } from "#runtime/percent.ts";
import type { Goals } from "../attribution/goals.ts";
import type { Params, Row } from "../engine/query.ts";
import type { Dimension } from "./dimensions.ts";
import { round, type Standing } from "./standing.ts";

/** What is asked of cohorts. */
export interface CohortQuestion {
  /** Indexes of the first and the last interval of first events. */
  first: number;
  last: number;
  /** Members came first at or after this, milliseconds since 1970. */
  from: number;
  periods: number;
  /** Undefined: cohorts are intervals. */
  dimension: Dimension | undefined;
  limit: number;
  goals: Goals;
}

/** One interval of a cohort. */
export interface Period {
  offset: number;
  eligible: number;
  visitors: number;
  rate: number;
  scans: number;
  conversions: number;
  lifetimeScans: number;
  lifetimeConversions: number;
  complete: boolean;
}

/** A cohort with what became of it. */
export interface CohortAnswer {
  /** Index of the interval, or value of the dimension. */
  cohort: string;
  size: number;
  periods: Period[];
}

/** All cohorts of a question, those beyond the limit in the sums only. */
export interface CohortAnswers {
  cohorts: CohortAnswer[];
  visitors: number;
  truncated: boolean;
}

/**
 * One statement: `cells` are visitors by interval, `firsts` the members, `f` their groups. Rows of kind `member` say how many
 * of a cohort have how many intervals to look at, rows of kind `cell` what happened in one.
 */
function statement({ dimension, goals }: CohortQuestion, { question, calendar }: Standing): string {
  const { cohort, join, looksAtFirst, isPartial = false } = dimension ?? INTERVAL;
  const seen = `${question.scope.sql} AND visitor_key IS NOT NULL AND scanned_at <= $until`;
  return `WITH won AS MATERIALIZED (SELECT visitor_key, ${calendar.indexSql("won_at")} AS idx, count(*) AS n
      FROM (${goals.sql}) WHERE won_at <= $until GROUP BY ALL),
    cells AS MATERIALIZED (SELECT visitor_key, ${calendar.indexSql("scanned_at")} AS idx, count(*) AS scans,
      min(scanned_at) AS met_at FROM touches WHERE ${seen} GROUP BY ALL),
    firsts AS MATERIALIZED (SELECT visitor_key, min(idx) AS first, min(met_at) AS first_at FROM cells GROUP BY visitor_key
      HAVING min(met_at) >= $from),
    f AS (${looksAtFirst ? firstRowsSql(seen) : "SELECT visitor_key, first FROM firsts"}),
    grouped AS MATERIALIZED (SELECT f.visitor_key, f.first, ${cohort} AS cohort FROM f ${join}),
    chosen AS MATERIALIZED (SELECT cohort, count(*) AS size, count(*) OVER () AS cohorts FROM grouped GROUP BY cohort
      ORDER BY size DESC, cohort LIMIT $limit),
    parts AS (SELECT visitor_key, idx, scans, 0 AS n FROM cells UNION ALL SELECT visitor_key, idx, 0, n FROM won)
    SELECT 'all' AS kind, '' AS cohort, 0 AS step, count(*) AS n, coalesce((SELECT max(cohorts) FROM chosen), 0) AS a, 0 AS b
      FROM ${isPartial ? "(SELECT DISTINCT visitor_key FROM grouped)" : "firsts"}
    UNION ALL SELECT 'member', cohort, least($last - first, $periods) AS step, count(*), max(first), 0
      FROM grouped SEMI JOIN chosen USING (cohort) GROUP BY cohort, step
    UNION ALL SELECT 'cell', cohort, idx - first AS step, count(*) FILTER (scans > 0), sum(scans), sum(n)
      FROM parts JOIN grouped USING (visitor_key) SEMI JOIN chosen USING (cohort)
      WHERE idx >= first AND idx - first <= $periods GROUP BY cohort, step`;
}

/** Rows of a table are counted in fewer bits than this. */
const ROW_BITS = 40;

/**
 * The members with the row of their first event; of several at the same time the first to arrive. Position and row are put
 * into one number, because the least of numbers takes far less memory than the least of pairs.
 */
function firstRowsSql(seen: string): string {
  const arrival = `CAST(position AS HUGEINT) * ${2 ** ROW_BITS} + row_id`;
  return `SELECT visitor_key, first, CAST(min(arrival) % ${2 ** ROW_BITS} AS BIGINT) AS first_row FROM firsts
    JOIN (SELECT visitor_key, scanned_at, ${arrival} AS arrival FROM touches WHERE ${seen}) USING (visitor_key)
    WHERE scanned_at = first_at GROUP BY visitor_key, first`;
}

const INTERVAL: Pick<Dimension, "cohort" | "join" | "looksAtFirst" | "isPartial"> = {
  cohort: "CAST(f.first AS VARCHAR)",
  join: "",
  looksAtFirst: false,
};

/** Reads cohorts and what became of them. */
export async function readCohorts(asked: CohortQuestion, standing: Standing): Promise<CohortAnswers> {
  const { question, calendar, end, whole } = standing;
  const params: Params = {
    ...question.scope.params,
    ...calendar.params,
    ...asked.goals.params,
    ...asked.dimension?.params,
    from: BigInt(asked.from),
    until: BigInt(end),
    last: BigInt(asked.last),
    periods: BigInt(asked.periods),
    limit: BigInt(asked.limit),
  };
  const rows = await question.duck.rows(statement(asked, standing), params, question.signal);
  const byCohort = Map.groupBy(
    rows.filter(({ kind }) => kind !== "all"),
    ({ cohort }) => String(cohort),
  );
  const all = rows.find(({ kind }) => kind === "all");
  const wholeIndex = calendar.indexOf(whole + 1);
  const cohorts = [...byCohort].map(([cohort, own]) => cohortOf(cohort, own, wholeIndex));
  return { cohorts, visitors: Number(all?.n ?? 0), truncated: Number(all?.a ?? 0) > cohorts.length };
}

function cohortOf(cohort: string, rows: readonly Row[], wholeIndex: number): CohortAnswer {
  const members = rows.filter(({ kind }) => kind === "member");
  const cells = new Map(rows.filter(({ kind }) => kind === "cell").map((row) => [Number(row.step), row]));
  const reach = members.reduce((most, { step }) => Math.max(most, Number(step)), 0);
  const periods: Period[] = [];
  let [lifetimeScans, lifetimeConversions] = [0, 0];
  for (let offset = 0; offset <= reach; offset += 1) {
    const reached = members.filter(({ step }) => Number(step) >= offset);
    const eligible = reached.reduce((sum, { n }) => sum + Number(n), 0);
    const latest = reached.reduce((last, { a }) => Math.max(last, Number(a)), 0);
    const cell = cells.get(offset);
    const [visitors, scans, conversions] = [Number(cell?.n ?? 0), Number(cell?.a ?? 0), Number(cell?.b ?? 0)];
    lifetimeScans += scans / eligible;
    lifetimeConversions += conversions / eligible;
    const lifetime = { lifetimeScans: round(lifetimeScans), lifetimeConversions: round(lifetimeConversions) };
    const complete = latest + offset < wholeIndex;
    periods.push({
      offset,
      eligible,
      visitors,
      rate: percentOf(visitors, eligible),
      scans,
      conversions,
      ...lifetime,
      complete,
    });
  }
  return { cohort, size: members.reduce((sum, { n }) => sum + Number(n), 0), periods };
}
