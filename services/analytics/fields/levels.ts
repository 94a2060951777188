import { DAY_MS } from "../rules.ts";
import { scoresSql } from "../scoring/score-sql.ts";
import type { Span } from "./visit-type.ts";

/** What is asked about. */
export type From = "events" | "visitors";

/**
 * Where a field stands: in the event; in its link; in what is known of an identified visitor; in an attribute of the
 * visitor; in what the visitor did over all that the caller sees; in the latest event of the visitor; in its lead score.
 */
export type Level = "event" | "link" | "profile" | "attribute" | "visitor" | "last" | "score";

/** What the SQL of fields needs beside columns. */
export interface Place {
  /** Condition (follows WHERE) of all events that the caller sees. */
  seen: string;
  /** Those of them that the question is about. */
  asked: Span;
  /** Parameter that holds the time of the question, milliseconds since 1970: "$wNow". */
  now: string;
}

/** Rows of a level, and the column by which a row of the question finds its row there. */
export interface Relation {
  sql: string;
  /** Column of the question's rows. */
  by: string;
  /** The same in the relation. */
  key: string;
}

const OWN = "workspace = $workspace AND test = $test";

/**
 * One row a visitor, over the events of a condition: what it did there, and `last_row`, its latest event. Only those
 * columns are computed that are used.
 */
export function peopleSql(condition: string, now: string): string {
  return `SELECT visitor_key, min(visitor_id) AS visitor_id, count(*) AS visit_count, count(DISTINCT link_id) AS link_count,
    count(DISTINCT device_key) AS device_count, min(scanned_at) AS first_at, max(scanned_at) AS last_at,
    (${now} - max(scanned_at)) // ${DAY_MS} AS days_since_last, count(*) FILTER (talked) AS conversations,
    arg_max(row_id, (scanned_at, row_id)) AS last_row
    FROM touches WHERE ${condition} AND visitor_key IS NOT NULL GROUP BY visitor_key`;
}

/** The rows of a level other than that of the question itself. `key`: parameter with the key of an attribute. */
export function relationOf(level: Exclude<Level, "event">, { seen, now }: Place, key: string): Relation {
  switch (level) {
    case "link":
      return { by: "link_id", key: "link_id", sql: `SELECT link_id, name, tags FROM links WHERE ${OWN}` };
    case "profile":
      return {
        by: "visitor_key",
        key: "visitor_key",
        sql: `SELECT visitor_key, email, phone, first_name, last_name FROM visitors WHERE ${OWN}`,
      };
    case "attribute":
      return {
        by: "visitor_key",
        key: "visitor_key",
        sql: `SELECT visitor_key, text, number, truth, time FROM attributes WHERE ${OWN} AND key = ${key}`,
      };
    case "visitor":
      return { by: "visitor_key", key: "visitor_key", sql: peopleSql(seen, now) };
    case "score":
      return { by: "visitor_key", key: "visitor_key", sql: scoresSql(seen) };
    case "last":
      return { by: "last_row", key: "row_id", sql: `SELECT rowid AS row_id, * FROM events WHERE ${OWN}` };
  }
}

/** Whether a row's visitor was identified; a row of no visitor was not. */
export const IDENTIFIED = `coalesce(visitor_key IN (SELECT visitor_key FROM visitors WHERE ${OWN} AND identified_at IS NOT NULL), false)`;
