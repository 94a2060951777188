import type { Scope } from "../scope.ts";

/**
 * The events that a question is about by link, tag, visitor and time, and by nothing else of an event: of a device's events of
 * a link all of that time are among them, so whether one is the first does not depend on what else is asked.
 */
export interface Span {
  /** Condition that follows WHERE. */
  sql: string;
  /** It has a beginning, the parameter `$start`. */
  hasStart: boolean;
}

/** The span of a scope. */
export function spanOf({ sql, params }: Scope): Span {
  return { sql, hasStart: params.start !== undefined };
}

/**
 * SQL of whether an event of a span is a first or a returning visit; NULL without a device. It is the first when it is its
 * device's first of its link in the span, and there is none before the span among all that the caller sees (`seen`, a
 * condition). So only the span is grouped, and of what is before it only what can matter is looked at. Of two in the same
 * millisecond either may be it.
 */
export function visitTypeSql({ sql, hasStart }: Span, seen: string): string {
  const firsts = `f AS MATERIALIZED (SELECT link_id, device_key, arg_min(rowid, scanned_at) AS row FROM events
    WHERE ${sql} AND device_key IS NOT NULL GROUP BY 1, 2)`;
  const older = `SELECT DISTINCT link_id, device_key FROM events WHERE ${seen} AND scanned_at < $start
    AND (link_id, device_key) IN (SELECT (link_id, device_key) FROM f)`;
  const rows = hasStart ? `f ANTI JOIN (${older}) o USING (link_id, device_key)` : "f";
  return `CASE WHEN device_key IS NULL THEN NULL WHEN row_id IN (WITH ${firsts} SELECT row FROM ${rows})
    THEN 'VISIT_TYPE_FIRST' ELSE 'VISIT_TYPE_RETURNING' END`;
}
