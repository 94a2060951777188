import type { Params } from "../engine/query.ts";
import { DAY_MS } from "../rules.ts";
import { PART_NAMES, type PartName, type Parts, RULES, SHARE_UNIT, sharesOf } from "./parts.ts";

const OWN = "workspace = $workspace AND test = $test";

/** One row a visitor over the events of a condition (follows WHERE, over the view `touches`): what it did. */
export function deedsSql(condition: string): string {
  return `SELECT visitor_key, count(*) AS visits, count(DISTINCT link_id) AS links,
    count(DISTINCT scanned_at // ${DAY_MS}) AS days, count(*) FILTER (talked) AS talks,
    coalesce(sum(messages), 0)::BIGINT AS messages,
    bit_count(bit_or(1::UTINYINT << device_type) FILTER (device_type > 0 AND device_type < 8)) AS kinds,
    count(browser) > 0 AS has_browser, count(platform) > 0 AS has_platform
    FROM touches WHERE ${condition} AND visitor_key IS NOT NULL GROUP BY visitor_key`;
}

/**
 * One row an identified visitor: what is known of it. `until`: a parameter with a time in milliseconds since 1970, when
 * only what was known by then counts.
 */
export function profilesSql(until?: string): string {
  const [identified, recorded] =
    until === undefined ? ["", ""] : [` AND identified_at <= ${until}`, ` AND recorded_at <= ${until}`];
  return `SELECT coalesce(v.visitor_key, a.visitor_key) AS visitor_key, coalesce(has_email, false) AS has_email,
    coalesce(has_phone, false) AS has_phone, coalesce(has_name, false) AS has_name, coalesce(n, 0) AS attributes
    FROM (SELECT visitor_key, email IS NOT NULL AS has_email, phone IS NOT NULL AS has_phone,
      first_name IS NOT NULL OR last_name IS NOT NULL AS has_name FROM visitors WHERE ${OWN}${identified}) v
    FULL JOIN (SELECT visitor_key, count(DISTINCT key) AS n FROM attributes WHERE ${OWN}${recorded} GROUP BY 1) a
      ON a.visitor_key = v.visitor_key`;
}

/** What a visitor adds up to: its deeds, and what is known of it; NULL where nothing is. */
export function sumsSql(condition: string, until?: string): string {
  return `SELECT d.*, has_email, has_phone, has_name, attributes FROM (${deedsSql(condition)}) d
    LEFT JOIN (${profilesSql(until)}) p ON p.visitor_key = d.visitor_key`;
}

const saturating = (amount: string, half: number) => `100.0 * (${amount}) / ((${amount}) + ${half})`;
const when = (condition: string, points: number) => `CASE WHEN ${condition} THEN ${points} ELSE 0 END`;
const { engagement, interest, scans, breadth, aptitude, profile } = RULES;

/** Each part in SQL over the columns of `sumsSql`; the same as `partsOf`. */
export const PARTS_SQL: Readonly<Record<PartName, string>> = {
  engagementLevel: saturating(
    `greatest(0, visits - 1) + ${engagement.perConversation} * talks + ${engagement.perMessage} * messages`,
    engagement.half,
  ),
  profileFit: [
    when("has_email", profile.email),
    when("has_phone", profile.phone),
    when("has_name", profile.name),
    `${profile.attribute} * least(coalesce(attributes, 0), ${profile.mostAttributes})`,
  ].join(" + "),
  recurringInterest: saturating("greatest(0, days - 1)", interest.half),
  recurringScans: saturating("visits - links", scans.half),
  technologicalAptitude: [
    when("kinds > 0", aptitude),
    when("kinds > 1", aptitude),
    when("has_browser", aptitude),
    when("has_platform", aptitude),
  ].join(" + "),
  brandSupportiveness: saturating("greatest(0, links - 1)", breadth.half),
};

/** The lead score in SQL over the columns of `sumsSql`. The weights are parameters: see `weightParams`. */
export const SCORE_SQL: string = PART_NAMES.map(
  (name, index) => `$share${index} / ${SHARE_UNIT}.0 * (${PARTS_SQL[name]})`,
).join(" + ");

/**
 * One row a visitor over the events of a condition: `visitor_key`, `visits` and `score`, 0 to 100. With `weightParams`
 * and the scope's own among the parameters.
 */
export function scoresSql(condition: string): string {
  return `SELECT visitor_key, visits, ${SCORE_SQL} AS score FROM (${sumsSql(condition)})`;
}

/** The parameters of `SCORE_SQL`. */
export function weightParams(weights: Parts): Params {
  const shares = sharesOf(weights);
  return Object.fromEntries(
    PART_NAMES.map((name, index) => [`share${index}`, BigInt(Math.round(shares[name] * SHARE_UNIT))]),
  );
}
