import type { Goals } from "./goals.ts";

/** A conversion is shared out in so many parts, so that credits are whole numbers and add up whatever the order. */
export const UNIT = 1_000_000_000;

/** Weights of TIME_DECAY are whole numbers too: that of the last touch. */
const LAST_WEIGHT = 2 ** 30;

/** Members of one conversion that are looked at for pairs, the foremost first. */
const MOST_PAIRED = 20;
const MOST_PAIRS = 50;

/** Touches of a conversion; so many or more are one group. */
export const MANY = 10;

/** The computations that models stand on. */
export const SHARES = ["first", "last", "linear", "decay", "position"] as const;
export type Share = (typeof SHARES)[number];

/** What is attributed to what. */
export interface Attributing {
  goals: Goals;
  /** Condition of touches, following WHERE. */
  seen: string;
  /** SQL of what a touch belongs to, over `touches`: a list of texts, empty where it is unknown. */
  members: string;
  isOnce: boolean;
}

/** Each conversion in the range, in SQL. */
function wonSql({ goals, isOnce }: Attributing): string {
  const first = "QUALIFY row_number() OVER (PARTITION BY visitor_key ORDER BY won_at, position, row_id) = 1";
  return `chances AS (SELECT * FROM (${goals.sql}) WHERE won_at >= $from AND won_at <= $until ${isOnce ? first : ""}),
    won AS MATERIALIZED (SELECT *, row_number() OVER () AS id FROM chances)`;
}

/**
 * The touches of each conversion in order of their time, then of their arrival: `nth` of `n`, with the share of each in the
 * conversion by each model. What cannot be divided goes to the last touch.
 */
function sharesSql({ goals, seen, members }: Attributing): string {
  const decay = `CAST(floor(pow(2, (scanned_at - last_at) / $half) * ${LAST_WEIGHT}) AS BIGINT)`;
  const [edge, between] = [(UNIT * 2) / 5, UNIT / 5];
  return `candidates AS (SELECT visitor_key, scanned_at, position, row_id, ${members} AS members FROM touches
      WHERE ${seen} AND NOT (${goals.isGoal}) AND visitor_key IN (SELECT visitor_key FROM won)),
    touched AS (SELECT id, scanned_at, members, row_number() OVER (w ORDER BY t.scanned_at, t.position, t.row_id) AS nth,
      count(*) OVER w AS n, max(scanned_at) OVER w AS last_at FROM won JOIN candidates t USING (visitor_key)
      WHERE scanned_at <= won_at AND scanned_at >= won_at - $lookback
        AND (scanned_at < won_at OR (t.position, t.row_id) <= (won.position, won.row_id)) WINDOW w AS (PARTITION BY id)),
    weighed AS (SELECT *, ${decay} AS weight FROM touched),
    decayed AS (SELECT *, CAST(${UNIT} * weight // sum(weight) OVER (PARTITION BY id) AS BIGINT) AS part FROM weighed),
    shared AS MATERIALIZED (SELECT id, members, nth, n,
      CASE WHEN nth = 1 THEN ${UNIT} ELSE 0 END AS first,
      CASE WHEN nth = n THEN ${UNIT} ELSE 0 END AS last,
      ${UNIT} // n + CASE WHEN nth = n THEN ${UNIT} % n ELSE 0 END AS linear,
      part + CASE WHEN nth = n THEN ${UNIT} - sum(part) OVER (PARTITION BY id) ELSE 0 END AS decay,
      CASE WHEN n = 1 THEN ${UNIT} WHEN n = 2 THEN ${UNIT / 2} WHEN nth = 1 THEN ${edge}
        WHEN nth = n THEN ${edge} + ${between} % (n - 2) ELSE ${between} // (n - 2) END AS position FROM decayed)`;
}

/** The same by member: a touch of several is shared equally among them, what cannot be divided goes to the last. */
function membersSql(): string {
  const parts = SHARES.map((share) => `${share} // k + CASE WHEN i = k THEN ${share} % k ELSE 0 END AS ${share}`);
  return `spread AS (SELECT *, greatest(len(members), 1) AS k,
      unnest(range(1, greatest(len(members), 1) + 1)) AS i FROM shared),
    credits AS MATERIALIZED (SELECT id, members[i] AS member, ${parts.join(", ")} FROM spread),
    ranks AS MATERIALIZED (SELECT member, row_number() OVER (ORDER BY count(DISTINCT id) DESC, coalesce(member, '')) AS rank
      FROM credits GROUP BY member),
    ranked AS MATERIALIZED (SELECT credits.*, least(rank, $limit + 1) AS rank FROM credits
      JOIN ranks ON ranks.member IS NOT DISTINCT FROM credits.member),
    met AS MATERIALIZED (SELECT id, member, rank FROM ranked WHERE rank <= $limit GROUP BY id, member, rank
      QUALIFY row_number() OVER (PARTITION BY id ORDER BY rank) <= ${MOST_PAIRED}),
    pairs AS (SELECT a.member AS a, b.member AS b, a.rank AS x, b.rank AS y, count(*) AS n FROM met a JOIN met b USING (id)
      WHERE a.rank < b.rank GROUP BY ALL ORDER BY n DESC, x, y LIMIT ${MOST_PAIRS})`;
}

/**
 * One statement. Rows: `all` conversions; `length` conversions by touches; `member` of each rank, beyond the limit all in one;
 * `pair` of members that met in conversions.
 */
export function attributionSql(attributing: Attributing): string {
  const none = SHARES.map(() => "0").join(", ");
  const sums = SHARES.map((share) => `CAST(sum(${share}) AS BIGINT)`).join(", ");
  const names = SHARES.map((share) => `CAST(0 AS BIGINT) AS ${share}`).join(", ");
  return `WITH ${wonSql(attributing)}, ${sharesSql(attributing)}, ${membersSql()}
    SELECT 'all' AS kind, CAST(NULL AS VARCHAR) AS a, CAST(NULL AS VARCHAR) AS b, CAST(0 AS BIGINT) AS rank, count(*) AS n,
      CAST(0 AS BIGINT) AS touches, ${names} FROM won
    UNION ALL SELECT 'length', NULL, NULL, least(n, ${MANY}) AS many, count(*), 0, ${none} FROM shared WHERE nth = 1 GROUP BY many
    UNION ALL SELECT 'member', any_value(member), NULL, rank, count(DISTINCT id), count(*), ${sums} FROM ranked GROUP BY rank
    UNION ALL SELECT 'pair', a, b, row_number() OVER (ORDER BY n DESC, x, y), n, 0, ${none} FROM pairs`;
}
