/** How events become journeys. */
export interface JourneyRules {
  /** Condition of the events, following WHERE. */
  seen: string;
  /** A journey ends when its visitor rests for longer than `$idle` milliseconds; false: never. */
  hasSessions: boolean;
  /** Each event is a step, also one of the same link as before. */
  isEachAStep: boolean;
  /** Steps of a path, at most. */
  depth: number;
  /** Only journeys that meet the link `$through`. */
  isThrough: boolean;
}

const ORDER = "PARTITION BY visitor_key ORDER BY scanned_at, position, row_id";

/**
 * Common table expressions up to `steps`: a row a step, with its journey (`visitor_key`, `journey`), the link as a number of
 * `ids`, whether it opens or closes its journey, and what comes next. Where it opens one, `path` are the first links, `path_ms`
 * the time from the first of them to the last, `len` how many steps the journey has, at most depth + 1.
 *
 * Events of a visitor are in order of their time, then of their arrival. Two windows, each sorted once: ten million events
 * fit into the time that a query has. Links are numbers, because sorting texts takes three times as long.
 */
export function stepsSql(rules: JourneyRules): string {
  const opens = rules.hasSessions ? "coalesce(scanned_at - before_at > $idle, true)" : "before_at IS NULL";
  const isStep = rules.isEachAStep ? "true" : "opens OR lid <> before_lid";
  return `ids AS MATERIALIZED (SELECT link_id, CAST(row_number() OVER (ORDER BY link_id) AS INTEGER) AS lid
      FROM (SELECT DISTINCT link_id FROM touches WHERE ${rules.seen})),
    hits AS (SELECT visitor_key, scanned_at, position, row_id, lid, lag(scanned_at) OVER w AS before_at,
      lag(lid) OVER w AS before_lid FROM touches JOIN ids USING (link_id) WHERE ${rules.seen} WINDOW w AS (${ORDER})),
    marked AS (SELECT *, ${opens} AS opens FROM hits),
    ahead AS (SELECT visitor_key, lid, scanned_at, opens, sum(CAST(opens AS INTEGER)) OVER w AS journey,
      ${leads(rules.depth)} FROM marked WHERE ${isStep} WINDOW w AS (${ORDER})),
    packed AS ${rules.isThrough ? "MATERIALIZED " : ""}(SELECT visitor_key, journey, lid, opens,
      coalesce(opens1, true) AS closes, lid1 AS next_lid, at1 - scanned_at AS next_ms, ${lengthSql(rules.depth)} AS len,
      ${pathSql(rules.depth)} FROM ahead),
    steps AS MATERIALIZED (SELECT * FROM packed ${rules.isThrough ? THROUGH : ""})`;
}

const THROUGH = `SEMI JOIN (SELECT visitor_key, journey FROM packed JOIN ids USING (lid) WHERE link_id = $through)
  USING (visitor_key, journey)`;

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n);
}

/** The next steps of the visitor, as many as a path may have and one more. */
function leads(depth: number): string {
  return range(1, depth)
    .map(
      (n) =>
        `lead(lid, ${n}) OVER w AS lid${n}, lead(opens, ${n}) OVER w AS opens${n}, lead(scanned_at, ${n}) OVER w AS at${n}`,
    )
    .join(", ");
}

/** A journey ends before the step that opens the next, or after the visitor's last. */
function lengthSql(depth: number): string {
  const ends = range(1, depth).map((n) => `WHEN coalesce(opens${n}, true) THEN ${n}`);
  return `CASE WHEN NOT opens THEN NULL ${ends.join(" ")} ELSE ${depth + 1} END`;
}

function pathSql(depth: number): string {
  const lids = ["lid", ...range(1, depth - 1).map((n) => `lid${n}`)].join(", ");
  const times = ["scanned_at", ...range(1, depth - 1).map((n) => `at${n}`)].join(", ");
  return `CASE WHEN opens THEN list_slice([${lids}], 1, least(len, ${depth})) END AS path,
    CASE WHEN opens THEN list_extract([${times}], least(len, ${depth})) - scanned_at END AS path_ms`;
}
